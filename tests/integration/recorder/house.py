"""A recorder that runs beside a test, and what the test asks of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.artifacts.memory import MemoryArtifacts
from libs.bus.base import Bus
from libs.chassis.service import Resources, Service
from libs.sealed.vault import MemoryVault
from libs.settings import Settings
from libs.store.digest import digests
from libs.store.engine import reading, writing
from libs.store.readmodels import checkpoint, event_log
from libs.store.readmodels.event_log import ArchivedEvent
from services.recorder.domain.chain import Tip
from services.recorder.main import build
from services.recorder.settings import RecorderSettings
from services.recorder.verifying import verify
from tests.unit.house import running

SETTINGS = RecorderSettings(refused_seconds=0.05, retry_seconds_max=0.1)
WAIT_SECONDS = 60


def recorder(bus: Bus, database: AsyncEngine, settings: RecorderSettings = SETTINGS) -> Service:
    artifacts = MemoryArtifacts()
    vault = MemoryVault(artifacts)
    return build(Resources(bus, artifacts, database, vault, Settings()), settings)


@asynccontextmanager
async def recording(
    bus: Bus, database: AsyncEngine, settings: RecorderSettings = SETTINGS
) -> AsyncIterator[Service]:
    service = recorder(bus, database, settings)
    async with running(bus, service):
        yield service


async def eventually(condition: Callable[[], Awaitable[object]], what: str) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + WAIT_SECONDS
    while not await condition():
        assert loop.time() < end, f"never happened: {what}"
        await asyncio.sleep(0.01)


async def covered(database: AsyncEngine) -> int:
    async with reading(database) as connection:
        return await checkpoint.covered_seq(connection)


async def archived_to(database: AsyncEngine, seq: int) -> None:
    async def reached() -> bool:
        return await covered(database) >= seq

    await eventually(reached, f"everything up to {seq} is archived")


async def archive_of(database: AsyncEngine) -> list[ArchivedEvent]:
    async with reading(database) as connection:
        return [row async for rows in event_log.pages(connection) for row in rows]


async def digests_of(database: AsyncEngine) -> dict[str, str]:
    async with reading(database) as connection:
        return await digests(connection)


async def verify_chain(database: AsyncEngine) -> Tip:
    """Show that the archive is sound, and return its end."""
    verified = await verify(database, None)
    assert verified.sound, verified.checks
    return verified.tip


async def tamper(database: AsyncEngine, *statements: str) -> None:
    """Change the archive as only somebody with the database's keys can."""
    async with writing(database) as connection:
        await connection.execute(text("ALTER TABLE event_log DISABLE TRIGGER USER"))
        for statement in statements:
            await connection.execute(text(statement))
        await connection.execute(text("ALTER TABLE event_log ENABLE TRIGGER USER"))
