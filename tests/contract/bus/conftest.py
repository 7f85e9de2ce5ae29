"""Two buses under one suite: one in memory, one on a NATS server that these tests own.

The server is always started here, whatever NATS_URL says: these tests stop it and empty it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from libs.bus.base import Bus
from libs.bus.connection import ApiError, Connection
from libs.bus.jetstream import JetStreamBus, connect
from libs.bus.memory import MemoryBus
from libs.bus.provisioning import NO_STREAM
from libs.bus.topology import streams
from libs.chassis.embedded.nats import Nats, start_nats
from libs.settings import Settings
from tests.contract.bus.proxy import Proxy
from tests.contract.bus.told import eventually
from tests.servers import Keeper


@dataclass
class World:
    """A bus, and other processes' views of the same bus."""

    kind: str
    bus: Bus
    settings: Settings = field(default_factory=Settings)
    opened: list[Bus] = field(default_factory=list)

    async def write_raw(self, subject: str, data: bytes) -> None:
        """Write bytes past the journal."""
        if isinstance(self.bus, MemoryBus):
            self.bus._world.log.append(subject, [data], 0)
            return
        assert isinstance(self.bus, JetStreamBus)
        await self.bus._news.request(subject, data, seconds=5)

    async def another(self, name: str) -> Bus:
        """Return the bus as another process sees it."""
        if isinstance(self.bus, MemoryBus):
            return self.bus.another(name)
        bus = await connect(self.settings, name)
        self.opened.append(bus)
        return bus


@dataclass
class OwnServer:
    """The NATS server of this suite, to be paused, killed and started again."""

    keeper: Keeper
    nats: Nats

    @property
    def url(self) -> str:
        return self.nats.url

    def pause(self) -> None:
        os.kill(self.nats.server.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.nats.server.pid, signal.SIGCONT)

    async def kill(self) -> None:
        os.kill(self.nats.server.pid, signal.SIGKILL)
        await eventually(lambda: self.nats.server.has_ended)

    async def restart(self) -> None:
        await asyncio.to_thread(self.keeper.run, self.nats.server.restart())


@pytest.fixture(scope="session")
def own_nats(keeper: Keeper, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    home: Path = tmp_path_factory.mktemp("bus")
    nats = keeper.run(start_nats(home, port=0, monitoring_port=0))
    yield OwnServer(keeper, nats)
    keeper.run(nats.server.stop())


async def at_empty(own_nats: OwnServer) -> Settings:
    """Give settings that point at an empty server."""
    settings = Settings(nats_url=own_nats.url, events_max_mib=64)
    await empty(settings)
    return settings


@pytest.fixture(params=["memory", "jetstream"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield World("memory", MemoryBus("tests"))
        return
    own_nats: OwnServer = request.getfixturevalue("own_nats")
    async for made in _jetstream_world(await at_empty(own_nats)):
        yield made


@pytest.fixture
async def jetstream(own_nats: OwnServer) -> AsyncIterator[World]:
    async for made in _jetstream_world(await at_empty(own_nats)):
        yield made


async def _jetstream_world(settings: Settings) -> AsyncIterator[World]:
    bus = await connect(settings, "tests")
    await bus.provision()
    world = World("jetstream", bus, settings, [bus])
    yield world
    for opened in world.opened:
        await opened.close()


@pytest.fixture
def bus(world: World) -> Bus:
    return world.bus


@pytest.fixture
async def proxy(own_nats: OwnServer) -> AsyncIterator[Proxy]:
    """Give a wire to the server that can be cut in one direction."""
    proxy = Proxy(own_nats.nats.server.ports["client"])
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def proxied(jetstream: World, proxy: Proxy) -> AsyncIterator[Bus]:
    """Give a bus behind that wire."""
    server = jetstream.settings.nats_url.rpartition("@")[0]
    settings = jetstream.settings.model_copy(
        update={"nats_url": f"{server}@127.0.0.1:{proxy.port}"}
    )
    bus = await connect(settings, "proxied")
    yield bus
    await bus.close()


async def empty(settings: Settings) -> None:
    """Remove all streams, which no service may do."""
    connection = Connection("tests", "empty")
    await connection.open(settings.nats_url)
    for plan in streams(settings):
        try:
            await connection.api(f"STREAM.DELETE.{plan.name}")
        except ApiError as error:
            if error.err_code != NO_STREAM:
                raise
    await connection.close()
