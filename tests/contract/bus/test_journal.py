"""Append and load: optimistic concurrency, all or nothing, and what is read back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from libs.bus.base import Bus
from libs.bus.limits import BATCH_EVENTS_MAX, PAYLOAD_BYTES_MAX
from libs.core.errors import Conflict, Poisoned
from libs.events.envelope import Cause
from tests.contract.bus.conftest import World
from tests.contract.bus.told import TENANT, append, ended, queued, rejected, subject


async def test_what_is_appended_is_loaded_with_all_that_is_known(bus: Bus):
    cause = Cause("before", "", "00-aa-bb-01")
    (written,) = await bus.journal.append(TENANT, [queued("p1")], 0, cause)
    loaded = await bus.journal.load(subject("p1"))
    assert loaded.events == (written,)
    assert loaded.last_seq == written.seq
    assert written.event == queued("p1")
    assert (written.causation_id, written.correlation_id) == ("before", "p1")
    assert written.traceparent == "00-aa-bb-01"
    assert written.source == "/studio/tests"
    assert abs((datetime.now(UTC) - written.time).total_seconds()) < 10


async def test_an_unknown_subject_is_empty(bus: Bus):
    loaded = await bus.journal.load(subject("nobody"))
    assert loaded.events == ()
    assert loaded.last_seq == 0


async def test_of_twenty_writers_exactly_one_wins(world: World):
    buses = [world.bus, await world.another("rival")]
    results = await asyncio.gather(
        *(append(buses[number % 2], queued("p1", number)) for number in range(20)),
        return_exceptions=True,
    )
    won = [result for result in results if not isinstance(result, BaseException)]
    assert len(won) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 19
    assert (await world.bus.journal.load(subject("p1"))).events == won[0]


async def test_a_stale_expectation_is_a_conflict_and_writes_nothing(bus: Bus):
    (first,) = await append(bus, queued("p1"))
    await append(bus, ended("p1"), expected=first.seq)
    for stale in (0, first.seq):
        with pytest.raises(Conflict):
            await append(bus, ended("p1"), expected=stale)
    assert len((await bus.journal.load(subject("p1"))).events) == 2


async def test_expecting_more_than_there_is_is_a_conflict(bus: Bus):
    with pytest.raises(Conflict):
        await append(bus, queued("p1"), expected=7)
    assert (await bus.journal.load(subject("p1"))).events == ()


async def test_subjects_do_not_disturb_each_other(bus: Bus):
    await asyncio.gather(*(append(bus, queued(f"p{number}")) for number in range(20)))
    for number in range(20):
        (found,) = (await bus.journal.load(subject(f"p{number}"))).events
        assert found.event == queued(f"p{number}")


async def test_several_events_are_written_together(bus: Bus):
    await append(bus, queued("other"))
    written = await append(bus, queued("p1"), ended("p1"), ended("p1"))
    seqs = [recorded.seq for recorded in written]
    assert seqs == [2, 3, 4]
    loaded = await bus.journal.load(subject("p1"))
    assert loaded.events == written
    assert loaded.last_seq == 4


async def test_of_several_events_all_or_none_are_written(bus: Bus):
    await append(bus, queued("p1"))
    with pytest.raises(Conflict):
        await append(bus, queued("p1"), ended("p1"))
    with pytest.raises(Poisoned):
        await append(bus, rejected("p2", 10), rejected("p2", PAYLOAD_BYTES_MAX))
    assert (await bus.state()).last_seq == 1


async def test_a_second_batch_follows_the_first(bus: Bus):
    first = await append(bus, queued("p1"), ended("p1"))
    second = await append(bus, queued("p1"), ended("p1"), expected=first[-1].seq)
    assert [recorded.seq for recorded in second] == [3, 4]


async def test_load_after_a_sequence_gives_the_rest(bus: Bus):
    written = await append(bus, *(queued("p1", number) for number in range(5)))
    loaded = await bus.journal.load(subject("p1"), after=written[2].seq)
    assert loaded.events == written[3:]
    nothing = await bus.journal.load(subject("p1"), after=written[-1].seq)
    assert nothing.events == ()
    assert nothing.last_seq == written[-1].seq


async def test_a_long_subject_is_loaded_whole_and_in_order(bus: Bus):
    written = await append(bus, *(queued("p1", number) for number in range(300)))
    await append(bus, queued("other"))
    loaded = await bus.journal.load(subject("p1"))
    assert loaded.events == written
    assert loaded.last_seq == 300


async def test_events_of_one_append_share_one_subject(bus: Bus):
    with pytest.raises(Poisoned, match="one subject"):
        await append(bus, queued("p1"), queued("p2"))


async def test_a_message_that_is_too_large_names_the_limit(bus: Bus):
    with pytest.raises(Poisoned, match=str(PAYLOAD_BYTES_MAX)):
        await append(bus, rejected("p1", PAYLOAD_BYTES_MAX))
    assert (await bus.state()).last_seq == 0


async def test_a_message_just_below_the_limit_is_taken(bus: Bus):
    (written,) = await append(bus, rejected("p1", PAYLOAD_BYTES_MAX - 1024))
    (found,) = (await bus.journal.load(f"evt.v1.{TENANT}.verdict.p1")).events
    assert found.payload == written.payload


async def test_too_many_events_at_once_name_the_limit(bus: Bus):
    with pytest.raises(Poisoned, match=str(BATCH_EVENTS_MAX)):
        await append(bus, *(queued("p1", number) for number in range(BATCH_EVENTS_MAX + 1)))


async def test_ids_differ_and_grow(bus: Bus):
    written = await append(bus, *(queued("p1", number) for number in range(10)))
    ids = [recorded.event_id for recorded in written]
    assert ids == sorted(set(ids))


async def test_the_state_says_where_the_stream_ends(bus: Bus):
    before = await bus.state()
    assert (before.first_seq, before.last_seq) == (1, 0)
    await append(bus, queued("p1"), ended("p1"))
    after = await bus.state()
    assert (after.first_seq, after.last_seq) == (1, 2)
    assert after.created == before.created
