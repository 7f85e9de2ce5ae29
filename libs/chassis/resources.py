"""The real adapters, opened once per process and closed in reverse order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from libs.artifacts import s3
from libs.bus.jetstream import connect
from libs.chassis.service import Resources
from libs.core.errors import Misconfigured
from libs.sealed.vault import PostgresVault
from libs.settings import Settings
from libs.store.engine import make_engine, migrate

NEEDED = ("nats_url", "database_url", "s3_endpoint", "master_key")


def check_settings(settings: Settings) -> None:
    """Raise Misconfigured naming every setting that a service cannot do without."""
    missing = [name for name in NEEDED if not _text(settings, name)]
    if missing:
        raise Misconfigured(
            "settings are missing; `studio up` fills them in on one machine, a cluster sets them",
            missing=[_variable(name) for name in missing],
        )


@asynccontextmanager
async def open_resources(settings: Settings, name: str) -> AsyncIterator[Resources]:
    """Connect to bus, database and storage as `name`."""
    check_settings(settings)
    async with AsyncExitStack() as stack:
        bus = await connect(settings, name)
        stack.push_async_callback(bus.close)
        database = make_engine(settings.database_url)
        stack.push_async_callback(database.dispose)
        artifacts = s3.connect(settings)
        stack.callback(artifacts.close)
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
