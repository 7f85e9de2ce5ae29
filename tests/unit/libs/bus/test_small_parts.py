"""Subjects, ids, reply subjects, dead letters, and the in-memory bus's own helpers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.bus.authorization import login_of
from libs.bus.base import Bus, DeadLetter, Reactor
from libs.bus.deadletter import headers_of, letter_from, subject_of_letter
from libs.bus.identity import new_event_id, new_prompt_id, prompt_id_of
from libs.bus.lanes import whereabouts
from libs.bus.memory import MemoryBus
from libs.bus.pull import Place, place_of
from libs.bus.subjects import matches, matches_any, safe_token, tenant_in
from libs.core.ids import TOKEN, is_canonical_uuid
from libs.events.base import Event
from libs.events.envelope import Cause, Recorded
from libs.events.run import RunEnded, RunQueued


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("evt.v1.*.run.*", "evt.v1.acme.run.p1", True),
        ("evt.v1.*.run.*", "evt.v1.acme.verdict.p1", False),
        ("evt.v1.*.*.p1", "evt.v1.acme.run.p1", True),
        ("evt.>", "evt.v1.acme.run.p1", True),
        ("evt.>", "evt", False),
        ("evt.*", "evt.v1.acme", False),
        ("evt.v1", "evt.v1", True),
        ("evt.v1.x", "evt.v1", False),
    ],
)
def test_patterns_match_as_on_the_server(pattern: str, subject: str, expected: bool):
    assert matches(pattern, subject) is expected


def test_no_pattern_matches_everything():
    assert matches_any((), "evt.v1.acme.run.p1")
    assert not matches_any(("a", "b"), "c")


def test_the_tenant_stands_in_the_subject():
    assert tenant_in("evt.v1.acme.run.p1") == "acme"
    assert tenant_in("sig.v1") == ""


@given(st.text())
def test_any_text_becomes_a_token(text: str):
    assert TOKEN.match(safe_token(text))


def test_ids_are_new_and_grow():
    ids = [new_event_id() for _ in range(100)]
    assert ids == sorted(set(ids))
    assert is_canonical_uuid(new_prompt_id())


def test_a_key_stands_for_one_prompt_of_its_tenant():
    one = prompt_id_of("acme", "key")
    assert one == prompt_id_of("acme", "key")
    assert is_canonical_uuid(one)
    assert len({one, prompt_id_of("other", "key"), prompt_id_of("acme", "other")}) == 3
    # Written down, so that an update of ours never gives old keys new prompts.
    assert one == "d1e4e766-6b63-5ffe-bbe1-28a486a7d871"


def test_both_forms_of_a_reply_subject_are_read():
    old = "$JS.ACK.EVENTS.billing.2.17.5.1700000000000000000.3"
    new = "$JS.ACK.hub.ABCDEF.EVENTS.billing.2.17.5.1700000000000000000.3"
    assert place_of(old) == place_of(new) == place_of(new + ".rnd")
    assert place_of(old) == Place(deliveries=2, seq=17, consumer_seq=5, pending=3)


def test_a_dead_letter_survives_its_headers():
    letter = DeadLetter(7, "gpu worker", "Key/Error", "acme", "p1", "evt.v1.a.run.p1", 3, b"{")
    assert letter_from(7, headers_of(letter), b"{") == letter
    assert subject_of_letter(letter) == "dlq.v1.gpu_worker.Key_Error"


def test_whereabouts_tell_the_place_and_never_the_words():
    with pytest.raises(ValueError, match="a red fox") as raised:
        int("a red fox")
    told = whereabouts(raised.value)
    assert "test_small_parts.py:" in told
    assert "fox" not in told


def queued(prompt_id: str) -> RunQueued:
    return RunQueued(prompt_id=prompt_id, number=1, tier="free", account="a")


async def test_the_in_memory_bus_delivers_twice_when_told_to():
    bus = MemoryBus(deliver_twice=True)
    seen: list[int] = []

    async def handle(recorded: Recorded[Event]) -> None:
        seen.append(recorded.seq)

    reactor = Reactor(name="r", filters=("evt.>",), handler=handle)
    reacting = asyncio.create_task(bus.react(reactor))
    for number in range(5):
        await bus.journal.append("acme", [queued(f"p{number}")], 0, Cause())
    await bus.drain()
    assert sorted(seen) == sorted([1, 2, 3, 4, 5] * 2)
    reacting.cancel()
    await asyncio.gather(reacting, return_exceptions=True)


async def test_draining_waits_for_chains_of_reactions_and_for_feeds():
    bus = MemoryBus()
    fed: list[int] = []

    async def end(recorded: Recorded[Event]) -> None:
        await asyncio.sleep(0.01)
        if isinstance(recorded.event, RunQueued):
            done = RunEnded(prompt_id=recorded.event.prompt_id, outcome="failed", attempt=0)
            await bus.journal.append("acme", [done], recorded.seq, recorded.cause())

    async def read() -> None:
        async for batch in bus.feed(start_seq=1):
            await asyncio.sleep(0.01)
            fed.extend(recorded.seq for recorded in batch.events)

    reactor = Reactor(name="r", filters=("evt.>",), handler=end)
    tasks = [asyncio.create_task(bus.react(reactor)), asyncio.create_task(read())]
    await bus.journal.append("acme", [queued("p1")], 0, Cause())
    await bus.drain()
    kinds = [type(event).__name__ for event in bus.journal_events("evt.v1.*.run.p1")]
    assert kinds == ["RunQueued", "RunEnded"]
    assert fed == [1, 2]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_draining_says_who_does_not_come_to_rest():
    bus = MemoryBus()

    async def hang(recorded: Recorded[Event]) -> None:
        await asyncio.sleep(60)

    reacting = asyncio.create_task(
        bus.react(Reactor(name="stuck", filters=("evt.>",), handler=hang))
    )
    await bus.journal.append("acme", [queued("p1")], 0, Cause())
    with pytest.raises(TimeoutError, match="stuck"):
        await bus.drain(0.2)
    for _ in range(2):
        reacting.cancel()
        await asyncio.sleep(0.01)
    await asyncio.gather(reacting, return_exceptions=True)


async def test_events_in_memory_carry_the_time_of_the_clock():
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    bus = MemoryBus("gateway", now=lambda: noon)
    (written,) = await bus.journal.append("acme", [queued("p1")], 0, Cause())
    assert written.time == noon
    assert written.source == "/studio/gateway"
    typed: Bus = bus
    assert await typed.trouble() == ""


def test_a_process_gets_its_own_login_and_no_password_of_another():
    environment = {"NATS_PASSWORD_HOUSE": "h", "NATS_PASSWORD_GPU_WORKER": "w"}
    given = {**environment, **login_of("house", environment)}
    assert (given["NATS_USER"], given["NATS_PASSWORD"]) == ("house", "h")
    assert [name for name, value in given.items() if value == "w"] == []
    assert login_of("billing", environment) == {}
