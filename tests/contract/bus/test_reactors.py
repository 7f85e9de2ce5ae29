"""Reactors: at least once, in order within a subject, and what becomes of failures."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from libs.bus.base import Bus
from libs.core.errors import Conflict, Poisoned, Refused, Unavailable
from libs.events.base import Event
from libs.events.envelope import Recorded
from tests.contract.bus.conftest import World
from tests.contract.bus.told import (
    PATIENCE_SECONDS,
    Notes,
    append,
    ended,
    eventually,
    queued,
    reactor,
    rejected,
    running,
)


async def test_a_reactor_gets_what_was_and_what_comes(bus: Bus):
    notes = Notes()
    (before,) = await append(bus, queued("p1"))
    async with running(bus.react(reactor(notes))):
        await eventually(lambda: notes.events)
        (after,) = await append(bus, queued("p2"))
        await eventually(lambda: len(notes.events) == 2)
    assert notes.events == [before, after]


async def test_a_reactor_gets_only_what_it_filters(bus: Bus):
    notes = Notes()
    await append(bus, rejected("p1", 10))
    await append(bus, queued("p1"))
    async with running(bus.react(reactor(notes))):
        await eventually(lambda: notes.events)
    assert [recorded.event for recorded in notes.events] == [queued("p1")]


async def test_what_is_acked_does_not_come_again(bus: Bus):
    first, second = Notes(), Notes()
    await append(bus, queued("p1"))
    async with running(bus.react(reactor(first))):
        await eventually(lambda: first.events)
    await append(bus, queued("p2"))
    async with running(bus.react(reactor(second))):
        await eventually(lambda: second.events)
        await asyncio.sleep(1.3)
    assert first.seqs == [1]
    assert second.seqs == [2]


async def test_reactors_of_different_names_each_get_everything(bus: Bus):
    one, two = Notes(), Notes()
    async with running(bus.react(reactor(one, name="one")), bus.react(reactor(two, name="two"))):
        await append(bus, queued("p1"), ended("p1"))
        await eventually(lambda: len(one.events) == len(two.events) == 2)


async def test_two_processes_of_one_name_share_the_work(world: World):
    one, two = Notes(), Notes()
    other = await world.another("tests")

    async def slow_one(recorded: Recorded[Event]) -> None:
        await asyncio.sleep(0.02)
        await one(recorded)

    async def slow_two(recorded: Recorded[Event]) -> None:
        await asyncio.sleep(0.02)
        await two(recorded)

    async with running(
        world.bus.react(reactor(slow_one, concurrency=2)),
        other.react(reactor(slow_two, concurrency=2)),
    ):
        await asyncio.sleep(0.3)
        for number in range(60):
            await append(world.bus, queued(f"p{number}"))
        await eventually(lambda: len(one.seqs) + len(two.seqs) == 60)
    assert sorted(one.seqs + two.seqs) == list(range(1, 61))
    assert one.seqs
    assert two.seqs


async def test_what_a_dead_process_had_in_hand_comes_again_after_the_wait(world: World):
    started = asyncio.Event()
    notes = Notes()

    async def hang(recorded: Recorded[Event]) -> None:
        started.set()
        await asyncio.sleep(60)

    await append(world.bus, queued("p1"))
    dead = asyncio.create_task(world.bus.react(reactor(hang)))
    await asyncio.wait_for(started.wait(), PATIENCE_SECONDS)
    dead.cancel()
    await asyncio.sleep(0.1)
    dead.cancel()  # The second time it may not finish what it has in hand.
    await asyncio.gather(dead, return_exceptions=True)
    async with running(world.bus.react(reactor(notes))):
        await eventually(lambda: notes.events)
    assert notes.seqs == [1]


async def test_a_slow_handler_keeps_its_event(bus: Bus):
    calls = []

    async def slow(recorded: Recorded[Event]) -> None:
        calls.append(recorded.seq)
        await asyncio.sleep(2.5)  # More than twice the ack wait.

    await append(bus, queued("p1"))
    async with running(bus.react(reactor(slow))):
        await eventually(lambda: calls)
        await asyncio.sleep(3)
    assert calls == [1]


async def test_events_of_a_subject_are_handled_one_after_the_other(bus: Bus):
    seen: defaultdict[str, list[int]] = defaultdict(list)
    at_work: set[str] = set()
    most_at_once = 0

    async def handle(recorded: Recorded[Event]) -> None:
        nonlocal most_at_once
        assert recorded.subject not in at_work
        at_work.add(recorded.subject)
        most_at_once = max(most_at_once, len(at_work))
        await asyncio.sleep(0.002)
        at_work.discard(recorded.subject)
        seen[recorded.subject].append(recorded.seq)

    for number in range(10):
        await append(bus, *(queued(f"p{number}", count) for count in range(10)))
    async with running(bus.react(reactor(handle, concurrency=4))):
        await eventually(lambda: sum(map(len, seen.values())) == 100)
    assert all(seqs == sorted(seqs) for seqs in seen.values())
    assert 1 < most_at_once <= 4


async def test_a_failing_event_holds_back_its_subject_and_no_other(bus: Bus):
    seen: list[int] = []
    failures = 2

    async def handle(recorded: Recorded[Event]) -> None:
        nonlocal failures
        if recorded.seq == 1 and failures:
            failures -= 1
            raise ValueError
        seen.append(recorded.seq)

    await append(bus, queued("p1"), ended("p1"))
    await append(bus, queued("p2"))
    async with running(bus.react(reactor(handle))):
        await eventually(lambda: len(seen) == 3)
    assert seen.index(1) < seen.index(2)
    assert seen[0] == 3


async def test_a_handler_that_always_fails_is_tried_and_then_set_aside(bus: Bus):
    calls = []

    async def fail(recorded: Recorded[Event]) -> None:
        calls.append(recorded.seq)
        if recorded.seq == 1:
            raise KeyError("prompt text that must not be logged")

    (broken, after) = await append(bus, queued("p1"), ended("p1"))
    async with running(bus.react(reactor(fail, deliver_max=3))):
        await eventually(lambda: 2 in calls)
        letter = await asyncio.wait_for(anext(bus.dead_letters(durable="people")), PATIENCE_SECONDS)
        await asyncio.sleep(1.3)
    assert calls == [1, 1, 1, 2]
    assert letter.payload == broken.payload
    assert (letter.service, letter.reason) == ("tests", "KeyError")
    assert (letter.tenant, letter.prompt_id) == ("acme", "p1")
    assert (letter.subject, letter.origin_seq) == (broken.subject, 1)
    assert after.seq == 2


async def test_a_poisoned_event_is_set_aside_at_once(bus: Bus):
    calls = []

    async def poisoned(recorded: Recorded[Event]) -> None:
        calls.append(recorded.seq)
        raise Poisoned("it can never succeed")

    await append(bus, queued("p1"))
    async with running(bus.react(reactor(poisoned))):
        letter = await asyncio.wait_for(anext(bus.dead_letters(durable="people")), PATIENCE_SECONDS)
    assert calls == [1]
    assert letter.reason == "poisoned"


async def test_bytes_that_are_no_event_are_set_aside(world: World):
    notes = Notes()
    await world.write_raw("evt.v1.acme.run.p1", b"\xff not json")
    await append(world.bus, queued("p2"))
    async with running(world.bus.react(reactor(notes))):
        letter = await asyncio.wait_for(
            anext(world.bus.dead_letters(durable="people")), PATIENCE_SECONDS
        )
        await eventually(lambda: notes.events)
    assert notes.seqs == [2]
    assert (letter.tenant, letter.payload) == ("acme", b"\xff not json")


async def test_a_refused_event_is_done_with(bus: Bus):
    calls = []

    async def refuse(recorded: Recorded[Event]) -> None:
        calls.append(recorded.seq)
        raise Refused("the rules forbid it")

    await append(bus, queued("p1"), ended("p1"))
    async with running(bus.react(reactor(refuse, deliver_max=2))):
        await eventually(lambda: 2 in calls)
        await asyncio.sleep(1.3)
    assert calls == [1, 2]


@pytest.mark.parametrize("error", [Unavailable("the store is away"), Conflict("a lost race")])
async def test_what_is_unavailable_is_tried_for_longer_than_a_failure(bus: Bus, error: Exception):
    calls = 0

    async def handle(recorded: Recorded[Event]) -> None:
        nonlocal calls
        calls += 1
        if calls <= 4:
            raise error

    await append(bus, queued("p1"))
    async with running(bus.react(reactor(handle, deliver_max=2))):
        await eventually(lambda: calls == 5)
        await asyncio.sleep(0.2)
    assert calls == 5


async def test_what_stays_unavailable_beyond_patience_is_set_aside(bus: Bus):
    async def handle(recorded: Recorded[Event]) -> None:
        raise Unavailable("the store is away")

    await append(bus, queued("p1"))
    async with running(bus.react(reactor(handle, deliver_max=2, patience_seconds=0.3))):
        letter = await asyncio.wait_for(anext(bus.dead_letters(durable="people")), PATIENCE_SECONDS)
    assert letter.reason == "unavailable"


async def test_on_leaving_what_is_begun_is_finished_and_the_rest_is_given_back(bus: Bus):
    begun, finished, rest = asyncio.Event(), [], Notes()

    async def slow(recorded: Recorded[Event]) -> None:
        begun.set()
        await asyncio.sleep(0.5)
        finished.append(recorded.seq)

    await append(bus, queued("p1"), ended("p1"), ended("p1"))
    leaving = asyncio.create_task(bus.react(reactor(slow, ack_wait_seconds=30.0)))
    await asyncio.wait_for(begun.wait(), PATIENCE_SECONDS)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert leaving.cancelled()
    assert finished == [1]
    async with running(bus.react(reactor(rest, ack_wait_seconds=30.0))):
        await eventually(lambda: len(rest.events) == 2, seconds=20)
    assert sorted(rest.seqs) == [2, 3]  # What is given back may come in any order.
