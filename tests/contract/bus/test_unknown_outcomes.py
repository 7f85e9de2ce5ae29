"""A publish whose answer is lost is one event in the end, whatever happened on the way."""

from __future__ import annotations

import asyncio

import pytest

from libs.bus import writer
from libs.bus.base import Bus
from libs.bus.jetstream import connect
from libs.bus.writer import Draft, Write, Writer
from libs.core.errors import Conflict, Unavailable
from libs.events.base import Event
from tests.contract.bus.conftest import OwnServer, World, at_empty
from tests.contract.bus.proxy import Proxy
from tests.contract.bus.told import append, ended, eventually, queued, rejected, subject


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "ANSWER_SECONDS", 0.5)


async def events_of(world: World, prompt_id: str) -> list[Event]:
    loaded = await world.bus.journal.load(subject(prompt_id))
    return [recorded.event for recorded in loaded.events]


async def test_an_event_whose_answer_was_lost_is_written_once(
    jetstream: World, proxied: Bus, proxy: Proxy
):
    proxy.deaf = True
    writing = asyncio.create_task(append(proxied, queued("p1")))
    await proxy.lose_answer()
    (written,) = await writing
    assert await events_of(jetstream, "p1") == [queued("p1")]
    assert written == (await jetstream.bus.journal.load(subject("p1"))).events[0]


async def test_a_batch_whose_answer_was_lost_is_written_once(
    jetstream: World, proxied: Bus, proxy: Proxy
):
    await append(jetstream.bus, queued("other"))
    proxy.deaf = True
    writing = asyncio.create_task(append(proxied, queued("p1"), ended("p1"), ended("p1")))
    await proxy.lose_answer()
    written = await writing
    assert (await jetstream.bus.journal.load(subject("p1"))).events == written
    assert [recorded.seq for recorded in written] == [2, 3, 4]


async def test_a_writer_who_was_overtaken_after_its_lost_answer_still_knows_its_event(
    jetstream: World, proxied: Bus, proxy: Proxy
):
    proxy.deaf = True
    writing = asyncio.create_task(append(proxied, queued("p1")))
    await eventually(lambda: proxy.lost_bytes)
    await append(jetstream.bus, ended("p1"), expected=1)
    await proxy.lose_answer()
    (written,) = await writing
    assert written.seq == 1
    assert await events_of(jetstream, "p1") == [queued("p1"), ended("p1")]


async def test_a_writer_who_lost_the_race_hears_so_even_over_a_broken_wire(
    jetstream: World, proxied: Bus, proxy: Proxy
):
    await append(jetstream.bus, ended("p1"))
    proxy.deaf = True
    writing = asyncio.create_task(append(proxied, queued("p1")))
    await proxy.lose_answer()
    with pytest.raises(Conflict):
        await writing
    assert await events_of(jetstream, "p1") == [ended("p1")]


async def test_a_public_event_whose_answer_was_lost_is_published_once(
    jetstream: World, proxied: Bus, proxy: Proxy
):
    proxy.deaf = True
    publishing = asyncio.create_task(proxied.publish_public("acme", "succeeded", "e-1", {}))
    await proxy.lose_answer()
    await publishing
    await jetstream.bus.publish_public("acme", "succeeded", "e-1", {})


async def test_a_counter_whose_answer_was_lost_gives_no_number_twice(
    jetstream: World, proxied: Bus, proxy: Proxy
):
    proxy.deaf = True
    counting = asyncio.create_task(proxied.count("runs"))
    await proxy.lose_answer()
    mine, others = await counting, await jetstream.bus.count("runs")
    assert mine < others


async def test_a_server_that_pauses_makes_writers_wait_not_fail(
    jetstream: World, own_nats: OwnServer
):
    own_nats.pause()
    try:
        writing = asyncio.create_task(append(jetstream.bus, queued("p1"), ended("p1")))
        single = asyncio.create_task(append(jetstream.bus, queued("p2")))
        await asyncio.sleep(2)
        assert not writing.done()
        assert not single.done()
    finally:
        own_nats.go_on()
    await asyncio.gather(writing, single)
    assert await events_of(jetstream, "p1") == [queued("p1"), ended("p1")]
    assert await events_of(jetstream, "p2") == [queued("p2")]


async def test_when_patience_ends_the_writer_hears_unavailable(
    jetstream: World, own_nats: OwnServer
):
    connection = jetstream.bus._news  # type: ignore[attr-defined]
    own_nats.pause()
    try:
        with pytest.raises(Unavailable):
            await Writer(connection).write(
                Write("EVENTS", subject("p1"), [Draft("e-1", b"{}")], 0, patience_seconds=1.5)
            )
    finally:
        own_nats.go_on()


async def test_many_writers_through_a_wire_that_is_cut_again_and_again_write_each_event_once(
    jetstream: World, proxied: Bus, proxy: Proxy
):
    async def cut() -> None:
        for _ in range(6):
            await asyncio.sleep(0.4)
            proxy.cut()

    async def write(number: int) -> None:
        last = 0
        for count in range(10):
            (recorded,) = await append(proxied, queued(f"p{number}", count), expected=last)
            last = recorded.seq
            await asyncio.sleep(0.15)

    await asyncio.gather(cut(), *(write(number) for number in range(8)))
    assert (await jetstream.bus.state()).last_seq == 80
    for number in range(8):
        assert await events_of(jetstream, f"p{number}") == [
            queued(f"p{number}", count) for count in range(10)
        ]


async def test_a_full_stream_is_unavailable_and_names_the_setting(own_nats: OwnServer):
    settings = (await at_empty(own_nats)).model_copy(update={"events_max_mib": 1})
    bus = await connect(settings, "tests")
    await bus.provision()

    async def fill() -> None:
        for number in range(20):
            await append(bus, rejected(f"p{number}", 200_000))

    with pytest.raises(Unavailable, match="STUDIO_EVENTS_MAX_MIB") as raised:
        await fill()
    assert not isinstance(raised.value, Conflict)
    last = (await bus.state()).last_seq
    assert 0 < last < 20
    await bus.close()
