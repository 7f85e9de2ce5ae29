"""Readers over the death and return of the server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from libs.bus.base import Bus
from libs.bus.jetstream import JetStreamBus
from libs.core.errors import Unavailable
from libs.events.base import Event
from libs.events.envelope import Recorded
from tests.contract.bus.conftest import OwnServer, World
from tests.contract.bus.proxy import Proxy
from tests.contract.bus.told import Notes, append, eventually, queued, reactor, running


class Reader:
    """Reads a feed in the background."""

    def __init__(self, bus: Bus, *filters: str) -> None:
        self.events: list[Recorded[Event]] = []
        self._bus = bus
        self._filters = filters

    async def read(self) -> None:
        async for batch in self._bus.feed(start_seq=1, filters=self._filters):
            self.events += batch.events

    @property
    def seqs(self) -> list[int]:
        return [recorded.seq for recorded in self.events]


async def test_feeds_reactors_and_ears_go_on_after_the_server_was_killed(
    jetstream: World, own_nats: OwnServer
):
    bus, notes = jetstream.bus, Notes()
    whole, part = Reader(bus), Reader(bus, "evt.v1.*.run.*")
    heard = []

    async def listen() -> None:
        async for signal in bus.signals("sig.v1.>"):
            heard.append(signal.data)  # noqa: PERF401  It never ends.

    async def answer(data: bytes) -> bytes:
        return data

    async with running(
        whole.read(),
        part.read(),
        bus.react(reactor(notes)),
        listen(),
        bus.answer("ask.v1.x", answer),
    ):
        for number in range(20):
            await append(bus, queued(f"a{number}"))
        await eventually(lambda: len(whole.events) == len(part.events) == len(notes.events) == 20)
        await own_nats.kill()
        await own_nats.restart()
        for number in range(20):
            await append(bus, queued(f"b{number}"))
        await eventually(
            lambda: len(whole.events) == len(part.events) == 40 and len(set(notes.seqs)) == 40
        )
        await bus.signal("sig.v1.worker.w", b"again")
        await eventually(lambda: heard)
        assert await bus.ask("ask.v1.x", b"?", 5) == b"?"
    assert whole.seqs == part.seqs == list(range(1, 41))
    assert await bus.trouble() == ""


async def test_a_full_log_is_trouble_until_it_may_grow(jetstream: World):
    bus = jetstream.bus
    assert isinstance(bus, JetStreamBus)
    await append(bus, queued("p1"))
    assert await bus.trouble() == ""
    info: Any = await bus._news.api("STREAM.INFO.EVENTS")
    plan, size = info["config"], info["state"]["bytes"]
    await bus._news.api("STREAM.UPDATE.EVENTS", {**plan, "max_bytes": size + 10})
    assert await bus.trouble() == "is full"
    with pytest.raises(Unavailable, match="takes no more"):
        await append(bus, queued("p2"))
    await bus._news.api("STREAM.UPDATE.EVENTS", plan)
    assert await bus.trouble() == "takes no writes"
    await append(bus, queued("p3"))
    assert await bus.trouble() == ""


async def test_writers_wait_while_the_server_is_away(jetstream: World, own_nats: OwnServer):
    await own_nats.kill()
    writing = asyncio.create_task(append(jetstream.bus, queued("p1")))
    await asyncio.sleep(1)
    assert await jetstream.bus.trouble() == "does not answer"
    await own_nats.restart()
    (written,) = await writing
    assert written.seq == 1


async def test_a_reactor_behind_a_wire_that_is_cut_again_and_again_misses_nothing(
    jetstream: World, proxied: Bus, proxy: Proxy
):
    notes, reader = Notes(), Reader(proxied)

    async def slowly(recorded: Recorded[Event]) -> None:
        await asyncio.sleep(0.005)
        await notes(recorded)

    async with running(proxied.react(reactor(slowly)), reader.read()):
        for number in range(150):
            await append(jetstream.bus, queued(f"p{number}"))
            if number % 30 == 15:
                proxy.cut()
                await asyncio.sleep(0.3)
        await eventually(lambda: len(set(notes.seqs)) == 150 and len(reader.events) == 150)
    assert reader.seqs == list(range(1, 151))


async def test_a_pause_of_the_server_is_noticed_and_survived(jetstream: World, own_nats: OwnServer):
    notes = Notes()
    async with running(jetstream.bus.react(reactor(notes))):
        await append(jetstream.bus, queued("p1"))
        await eventually(lambda: notes.events)
        own_nats.pause()
        try:
            await asyncio.sleep(6)  # More than two beats.
        finally:
            own_nats.go_on()
        await append(jetstream.bus, queued("p2"))
        await eventually(lambda: 2 in notes.seqs)


async def test_when_the_server_closes_the_door_every_reader_ends_with_an_error(jetstream: World):
    bus = jetstream.bus
    assert isinstance(bus, JetStreamBus)

    async def answer(data: bytes) -> bytes:
        return data

    async def listen() -> None:
        async for _ in bus.signals("sig.>"):
            pass

    readers = [
        asyncio.create_task(coroutine)
        for coroutine in (
            bus.react(reactor(Notes())),
            Reader(bus).read(),
            listen(),
            bus.answer("ask.v1.x", answer),
        )
    ]
    await asyncio.sleep(0.3)
    for connection in (bus._news, bus._signals):
        await connection._client.close()  # As the library does when a login is taken back.
    results = await asyncio.wait_for(asyncio.gather(*readers, return_exceptions=True), 10)
    assert [type(result) for result in results] == [Unavailable] * 4


async def test_a_consumer_that_somebody_deleted_is_made_again(jetstream: World):
    notes = Notes()
    assert isinstance(jetstream.bus, JetStreamBus)
    connection = jetstream.bus._news
    async with running(jetstream.bus.react(reactor(notes))):
        await append(jetstream.bus, queued("p1"))
        await eventually(lambda: notes.events)
        await connection.api("CONSUMER.DELETE.EVENTS.tests")
        await append(jetstream.bus, queued("p2"))
        await eventually(lambda: 2 in notes.seqs)
