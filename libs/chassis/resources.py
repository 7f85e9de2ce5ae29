"""The real adapters, opened once per process and closed in reverse order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from libs.artifacts import s3
from libs.artifacts.base import Artifacts
from libs.artifacts.memory import MemoryArtifacts
from libs.bus.base import Bus
from libs.bus.jetstream import connect
from libs.bus.memory import MemoryBus
from libs.chassis.service import Resources
from libs.core.errors import Misconfigured
from libs.sealed.vault import PostgresVault
from libs.settings import Settings
from libs.store.engine import make_engine, migrate

NEEDED = ("nats_url", "database_url", "s3_endpoint", "master_key")
NEEDED_ALONE = ("database_url", "master_key")


def check_settings(settings: Settings, *, alone: bool = False) -> None:
    """Raise Misconfigured naming every setting that a service cannot do without."""
    needed = NEEDED_ALONE if alone else NEEDED
    missing = [name for name in needed if not _text(settings, name)]
    if missing:
        raise Misconfigured(
            "settings are missing; `studio up` fills them in on one machine, a cluster sets them",
            missing=[_variable(name) for name in missing],
        )


@asynccontextmanager
async def open_resources(
    settings: Settings, name: str, *, alone: bool = False
) -> AsyncIterator[Resources]:
    """Connect to bus, database and storage as `name`.

    `alone` is for services that are clients of the API: they get a database, and a bus and a
    storage that end with their own process.
    """
    check_settings(settings, alone=alone)
    async with AsyncExitStack() as stack:
        database = make_engine(settings.database_url)
        stack.push_async_callback(database.dispose)
        bus: Bus
        artifacts: Artifacts
        if alone:
            bus, artifacts = MemoryBus(name), MemoryArtifacts()
        else:
            bus = await connect(settings, name)
            stack.push_async_callback(bus.close)
            artifacts = stored = s3.connect(settings)
            stack.callback(stored.close)
        vault = PostgresVault(database, artifacts, settings.master_key.get_secret_value())
        yield Resources(
            bus=bus, artifacts=artifacts, database=database, vault=vault, settings=settings
        )


async def provision(settings: Settings) -> None:
    """Create streams, tables and buckets that are missing; never weaken what is there."""
    await migrate(settings.database_url)
    async with open_resources(settings, "provision") as resources:
        await resources.bus.provision()
        await resources.artifacts.provision()


def _text(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    return value if isinstance(value, str) else str(value.get_secret_value())


def _variable(name: str) -> str:
    return "STUDIO_MASTER_KEY" if name == "master_key" else name.upper()
