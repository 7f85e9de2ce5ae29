"""Feeds: everything from a place on, in order, for ever."""

from __future__ import annotations

import asyncio

from libs.bus.base import Batch, Bus
from libs.events.base import Event
from libs.events.envelope import Recorded
from tests.contract.bus.conftest import World
from tests.contract.bus.told import PATIENCE_SECONDS, append, queued, rejected


async def collect(
    bus: Bus, count: int, *, start_seq: int = 1, **changes
) -> tuple[list[Recorded[Event]], list[Batch]]:
    events: list[Recorded[Event]] = []
    batches: list[Batch] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for batch in bus.feed(start_seq=start_seq, **changes):
            batches.append(batch)
            events += batch.events
            if len(events) >= count:
                break
    return events, batches


async def test_a_feed_gives_everything_from_its_start(bus: Bus):
    for number in range(12):
        await append(bus, queued(f"p{number}", number))
    events, batches = await collect(bus, 12)
    assert [recorded.seq for recorded in events] == list(range(1, 13))
    assert batches[-1].pending == 0
    assert batches[-1].last_seq == 12
    late, _ = await collect(bus, 4, start_seq=9)
    assert [recorded.seq for recorded in late] == [9, 10, 11, 12]


async def test_a_start_of_zero_is_the_beginning(bus: Bus):
    await append(bus, queued("p1"))
    events, _ = await collect(bus, 1, start_seq=0)
    assert [recorded.seq for recorded in events] == [1]


async def test_a_feed_goes_on_with_what_comes(bus: Bus):
    async def write() -> None:
        for number in range(20):
            await append(bus, queued(f"p{number}", number))
            await asyncio.sleep(0.01)

    writing = asyncio.create_task(write())
    events, _ = await collect(bus, 20)
    await writing
    assert [recorded.seq for recorded in events] == list(range(1, 21))


async def test_batches_are_bounded_and_say_how_much_is_left(bus: Bus):
    await append(bus, *(queued("p1", number) for number in range(25)))
    events, batches = await collect(bus, 25, batch_max=10)
    assert len(events) == 25
    assert all(len(batch.events) <= 10 for batch in batches)
    taken = 0
    for batch in batches:
        taken += len(batch.events)
        assert batch.pending == 25 - taken
        assert batch.last_seq == batch.events[-1].seq


async def test_a_filtered_feed_leaves_out_the_rest(bus: Bus):
    await append(bus, queued("p1"))
    await append(bus, rejected("p1", 10))
    await append(bus, queued("p2"))
    events, batches = await collect(bus, 2, filters=("evt.v1.*.run.*",))
    assert [recorded.seq for recorded in events] == [1, 3]
    assert batches[-1].last_seq == 3


async def test_silence_is_told_about_once_a_second(bus: Bus):
    await append(bus, queued("p1"))
    loop = asyncio.get_running_loop()
    times = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for batch in bus.feed(start_seq=1):
            if batch.events:
                continue
            times.append(loop.time())
            assert batch.last_seq == 1
            if len(times) == 3:
                break
    assert 0.5 < times[2] - times[1] < 15


async def test_bytes_that_are_no_event_come_as_unreadable_and_nothing_is_skipped(world: World):
    await append(world.bus, queued("p1"))
    await world.write_raw("evt.v1.acme.run.p2", b"\xff not json")
    await append(world.bus, queued("p3"))
    events, _ = await collect(world.bus, 3)
    assert [type(recorded.event).__name__ for recorded in events] == [
        "RunQueued",
        "Unreadable",
        "RunQueued",
    ]
    assert events[1].payload == b"\xff not json"
    assert events[1].seq == 2


async def test_a_feed_may_begin_before_anything_has_happened(bus: Bus):
    reading = asyncio.create_task(collect(bus, 1))
    await asyncio.sleep(0.3)
    await append(bus, queued("p1"))
    events, _ = await reading
    assert [recorded.event for recorded in events] == [queued("p1")]
