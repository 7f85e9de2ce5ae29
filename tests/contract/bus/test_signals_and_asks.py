"""Signals and asks: nothing is kept, and an ask knows soon that nobody answers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic

import pytest

from libs.bus.base import Bus, Signal
from libs.bus.limits import SIGNALS_WAITING_MAX
from libs.core.errors import Refused, Unavailable
from tests.contract.bus.conftest import World
from tests.contract.bus.told import PATIENCE_SECONDS, close, eventually, running

SUBJECT = "sig.v1.worker.gpu-0"


class Ear:
    """Listens in the background."""

    def __init__(self, bus: Bus, pattern: str) -> None:
        self.heard: list[Signal] = []
        self._bus = bus
        self._pattern = pattern

    async def listen(self) -> None:
        async for signal in self._bus.signals(self._pattern):
            self.heard.append(signal)


async def test_signals_arrive_in_order_at_all_who_listen(world: World):
    other = await world.another("other")
    here, there = Ear(world.bus, "sig.v1.worker.*"), Ear(other, "sig.v1.>")
    async with running(here.listen(), there.listen()):
        await asyncio.sleep(0.2)
        for number in range(50):
            await world.bus.signal(SUBJECT, str(number).encode())
        await eventually(lambda: len(there.heard) == len(here.heard) == 50)
    assert [signal.data for signal in here.heard] == [str(n).encode() for n in range(50)]
    assert there.heard == here.heard


async def test_signals_of_other_subjects_are_not_heard(bus: Bus):
    ear = Ear(bus, "sig.v1.acme.progress.*")
    async with running(ear.listen()):
        await asyncio.sleep(0.2)
        await bus.signal("sig.v1.acme.preview.p1", b"no")
        await bus.signal("sig.v1.acme.progress.p1", b"yes")
        await eventually(lambda: ear.heard)
    assert [signal.data for signal in ear.heard] == [b"yes"]


async def test_a_signal_that_nobody_hears_is_lost(bus: Bus):
    await bus.signal(SUBJECT, b"into the void")
    ear = Ear(bus, SUBJECT)
    async with running(ear.listen()):
        await asyncio.sleep(0.2)
        await bus.signal(SUBJECT, b"heard")
        await eventually(lambda: ear.heard)
    assert [signal.data for signal in ear.heard] == [b"heard"]


async def test_a_slow_ear_loses_the_oldest(bus: Bus):
    reading = bus.signals(SUBJECT)
    first = asyncio.ensure_future(anext(reading))
    await asyncio.sleep(0.2)
    await bus.signal(SUBJECT, b"first")
    assert (await first).data == b"first"
    total = SIGNALS_WAITING_MAX + 10
    for number in range(total):
        await bus.signal(SUBJECT, str(number).encode())
    await asyncio.sleep(0.5)
    assert int((await anext(reading)).data) >= 10
    await close(reading)


async def test_an_ask_is_answered_by_one_of_those_who_answer(world: World):
    other = await world.another("other")

    async def one(data: bytes) -> bytes:
        return b"one " + data

    async def two(data: bytes) -> bytes:
        return b"two " + data

    async with running(world.bus.answer("ask.v1.x", one), other.answer("ask.v1.x", two)):
        answers: set[bytes] = set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(answers) < 2:
                await asyncio.sleep(0.01)
                with suppress(Unavailable):  # Both have just begun to listen.
                    answers.add(await world.bus.ask("ask.v1.x", b"?", 5))
    assert answers == {b"one ?", b"two ?"}


async def test_asks_are_answered_many_at_once(bus: Bus):
    all_at_once = asyncio.Barrier(20)

    async def together(data: bytes) -> bytes:
        await all_at_once.wait()
        return data

    async with running(bus.answer("ask.v1.x", together)):
        await asyncio.sleep(0.2)
        asks = (bus.ask("ask.v1.x", str(number).encode(), PATIENCE_SECONDS) for number in range(20))
        answers = await asyncio.gather(*asks)
    assert answers == [str(number).encode() for number in range(20)]


async def test_when_nobody_answers_the_ask_fails_fast(bus: Bus):
    began = monotonic()
    with pytest.raises(Unavailable, match="nobody answers"):
        await bus.ask("ask.v1.nobody", b"?", PATIENCE_SECONDS)
    assert monotonic() - began < PATIENCE_SECONDS / 3


async def test_an_answer_that_is_late_is_no_answer(bus: Bus):
    async def never(data: bytes) -> bytes:
        await asyncio.sleep(30)
        return data

    async with running(bus.answer("ask.v1.x", never)):
        await asyncio.sleep(0.2)
        with pytest.raises(Unavailable, match="in time"):
            await bus.ask("ask.v1.x", b"?", 0.3)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Refused("not for you", kind="not_yours"), Refused),
        (Unavailable("come back later"), Unavailable),
        (KeyError("private words"), Unavailable),
    ],
)
async def test_a_failing_answer_reaches_the_one_who_asks(
    bus: Bus, error: Exception, expected: type[Exception]
):
    async def fail(data: bytes) -> bytes:
        raise error

    async with running(bus.answer("ask.v1.x", fail)):
        await asyncio.sleep(0.2)
        with pytest.raises(expected) as raised:
            await bus.ask("ask.v1.x", b"?", 5)
    assert "private words" not in str(raised.value)
    if isinstance(raised.value, Refused):
        assert raised.value.kind == "not_yours"


async def test_whoever_stops_answering_is_not_asked_any_more(bus: Bus):
    async def answer(data: bytes) -> bytes:
        return data

    async with running(bus.answer("ask.v1.x", answer)):
        await asyncio.sleep(0.2)
        assert await bus.ask("ask.v1.x", b"?", PATIENCE_SECONDS) == b"?"
    await asyncio.sleep(0.2)
    with pytest.raises(Unavailable, match="nobody answers"):
        await bus.ask("ask.v1.x", b"?", 5)
