"""Lanes: what is said to the bus about each delivery."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from libs.bus import lanes
from libs.bus.base import Reactor
from libs.bus.identity import utc_now
from libs.bus.lanes import Delivery, Lanes
from libs.core.errors import StudioError, Unavailable
from libs.events.base import Event
from libs.events.envelope import Cause, Recorded, wrap
from libs.events.run import RunQueued


def payload_of(prompt_id: str) -> bytes:
    event = RunQueued(prompt_id=prompt_id, number=1, tier="free", account="a")
    return wrap(
        event, event_id="e", tenant="acme", source="/studio/x", time=utc_now(), cause=Cause()
    )


@dataclass
class Told:
    """A delivery that notes what it is told; the first `deaf` words are not heard."""

    seq: int = 1
    deliveries: int = 1
    subject: str = "evt.v1.acme.run.p1"
    payload: bytes = field(default_factory=lambda: payload_of("p1"))
    words: list[str] = field(default_factory=list)
    deaf: int = 0

    async def _hear(self, word: str) -> None:
        if self.deaf:
            self.deaf -= 1
            raise Unavailable("the bus is away")
        self.words.append(word)

    async def ack(self) -> None:
        await self._hear("ack")

    async def nak(self) -> None:
        await self._hear("nak")

    async def term(self) -> None:
        await self._hear("term")

    async def in_progress(self) -> None:
        await self._hear("in_progress")


@dataclass
class Grave:
    """Where dead letters go; the first `closed` tries fail."""

    closed: int = 0
    buried: list[tuple[int, str]] = field(default_factory=list)

    async def bury(self, service: str, delivery: Delivery, error: StudioError) -> None:
        if self.closed:
            self.closed -= 1
            raise Unavailable("the bus is away")
        self.buried.append((delivery.seq, error.message))


async def settle(
    handler: Callable[[Recorded[Event]], Awaitable[None]],
    *deliveries: Told,
    grave: Grave | None = None,
    **changes,
) -> None:
    """Work until all deliveries have heard their last word."""
    reactor = Reactor(name="r", filters=("evt.>",), handler=handler, **changes)
    working = Lanes(reactor, (grave or Grave()).bury, first_delay_seconds=0.001)
    waiting = list(deliveries)

    async def take_next(room: int) -> Told:
        assert room > 0
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    running = asyncio.create_task(working.run(take_next))
    async with asyncio.timeout(10):
        while waiting or working.in_hand:  # noqa: ASYNC110  Lanes tell nobody that they are idle.
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def fine(recorded: Recorded[Event]) -> None:
    return


async def broken(recorded: Recorded[Event]) -> None:
    raise RuntimeError


async def test_what_worked_is_acked_once():
    told = Told()
    await settle(fine, told)
    assert told.words == ["ack"]


async def test_tries_of_processes_that_died_are_counted():
    calls = 0

    async def count(recorded: Recorded[Event]) -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError

    told, grave = Told(deliveries=4), Grave()
    await settle(count, told, grave=grave, deliver_max=5)
    assert calls == 2
    assert grave.buried == [(1, "a handler failed")]
    assert told.words == ["term"]


async def test_an_event_that_kills_every_process_is_set_aside_unseen():
    told, grave = Told(deliveries=21), Grave()
    await settle(fine, told, grave=grave, deliver_max=5)
    assert grave.buried == [(1, "no process came back from it")]
    assert told.words == ["term"]


async def test_nothing_is_given_up_before_it_lies_with_the_dead_letters():
    told, grave = Told(), Grave(closed=3)
    await settle(broken, told, grave=grave, deliver_max=1)
    assert grave.buried == [(1, "a handler failed")]
    assert told.words == ["term"]


async def test_an_ack_that_is_not_heard_does_not_stop_the_lane():
    first, second = Told(deaf=1), Told(seq=2)
    await settle(fine, first, second)
    assert (first.words, second.words) == ([], ["ack"])


async def test_a_handler_that_never_ends_is_a_failure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lanes, "HANDLER_SECONDS_MAX", 0.02)

    async def hang(recorded: Recorded[Event]) -> None:
        await asyncio.sleep(60)

    told, grave = Told(), Grave()
    await settle(hang, told, grave=grave, deliver_max=2)
    assert told.words == ["term"]


async def test_what_comes_again_late_is_put_before_what_it_should_precede():
    seen = []

    async def note(recorded: Recorded[Event]) -> None:
        seen.append(recorded.seq)
        await asyncio.sleep(0.01)

    await settle(note, Told(seq=1), Told(seq=5), Told(seq=3), Told(seq=4))
    assert seen == [1, 3, 4, 5]


async def test_what_is_in_hand_is_told_to_be_in_progress():
    async def slow(recorded: Recorded[Event]) -> None:
        await asyncio.sleep(0.2)

    told = Told()
    await settle(slow, told, ack_wait_seconds=0.15)
    assert told.words.count("in_progress") >= 2
    assert told.words[-1] == "ack"


async def test_logs_never_quote_what_an_error_says(capsys: pytest.CaptureFixture[str]):
    async def leak(recorded: Recorded[Event]) -> None:
        raise ValueError("a very private sentence")

    await settle(leak, Told(), deliver_max=1)
    printed = capsys.readouterr()
    assert "ValueError" in printed.out + printed.err
    assert "private" not in printed.out + printed.err
