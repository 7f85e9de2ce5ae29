"""A sound archive of a real stream, and copies of it that a test may spoil."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from libs.bus.base import Bus
from libs.bus.jetstream import connect
from libs.chassis.embedded.nats import start_nats
from libs.events.base import subject_of
from libs.events.envelope import Cause
from libs.settings import Settings
from libs.store.engine import make_engine, migrate
from tests.contract.store.histories import wild_log
from tests.contract.store.lives import TENANT
from tests.integration.recorder.house import archived_to, recording
from tests.servers import Keeper

PROMPTS = 60


@dataclass(frozen=True)
class Sound:
    """Where the stream is, and the database that was archived from it."""

    settings: Settings
    database_url: str
    events: int


@pytest.fixture(scope="module")
def sound(
    keeper: Keeper, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sound]:
    """Archive a wild log from a NATS server of this module's own."""
    home: Path = tmp_path_factory.mktemp("sound")
    nats = keeper.run(start_nats(home, port=0, monitoring_port=0))
    settings = Settings(nats_url=nats.url, events_max_mib=64)
    with a_database(keeper, database_url) as url:
        events = keeper.run(_archive(settings, url))
        yield Sound(settings, url, events)
    keeper.run(nats.server.stop())


@pytest.fixture
def copy_url(keeper: Keeper, sound: Sound) -> Iterator[str]:
    """Give a copy of the sound database."""
    with a_database(keeper, sound.database_url, template=True) as url:
        yield url


@pytest.fixture
async def stream(sound: Sound) -> AsyncIterator[Bus]:
    """Give a connection to the stream that was archived."""
    bus = await connect(sound.settings, "tests")
    yield bus
    await bus.close()


@contextmanager
def a_database(keeper: Keeper, near: str, *, template: bool = False) -> Iterator[str]:
    """Make a database beside `near`, or a copy of it, and drop it after the block."""
    place, _, model = near.rpartition("/")
    name = f"test_{uuid.uuid4().hex}"
    how = f' TEMPLATE "{model}"' if template else ""
    keeper.run(_execute(f"{place}/postgres", f'CREATE DATABASE "{name}"{how}'))
    yield f"{place}/{name}"
    keeper.run(_execute(f"{place}/postgres", f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _archive(settings: Settings, url: str) -> int:
    await migrate(url)
    engine = make_engine(url)
    bus = await connect(settings, "tests")
    try:
        await bus.provision()
        seqs: dict[str, int] = {}
        for event in wild_log(prompts=PROMPTS, seed=5):
            subject = subject_of(TENANT, event)
            (written,) = await bus.journal.append(TENANT, [event], seqs.get(subject, 0), Cause())
            seqs[subject] = written.seq
        end = (await bus.state()).last_seq
        async with recording(bus, engine):
            await archived_to(engine, end)
    finally:
        await bus.close()
        await engine.dispose()
    return end


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
