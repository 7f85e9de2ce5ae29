"""One process's wire to everything that it shares with others: slow, cut at times, or dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from libs.bus.base import AskHandler, Batch, Handler, Reactor, Signal
from libs.bus.lanes import Delivery, Lanes
from libs.bus.memory import MemoryBus, MemoryJournal
from libs.core.errors import Conflict, StudioError, Unavailable
from libs.decider import Loaded
from libs.events.base import Event
from libs.events.envelope import Cause, Recorded, subject_for
from tests.chaos.seeded import clock
from tests.chaos.seeded.stream import RestlessWorld, Try

T = TypeVar("T")

PATIENCE_SECONDS = 20.0
RENEW_PATIENCE_SECONDS = 2.0
LATE_SECONDS_MAX = 15.0


@dataclass
class Wire:
    """What a process reaches the world through; a dead process reaches nothing any more."""

    name: str
    world: RestlessWorld
    crash: Callable[[str], None]
    dead: bool = False
    cut_until: float = 0.0

    async def reach(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Take as long as a message takes; Unavailable when the wire stays cut."""
        self.live()
        await asyncio.sleep(self.world.weather.latency)
        left = self.cut_until - clock.seconds()
        if left > patience_seconds:
            await asyncio.sleep(patience_seconds)
            self.live()
            raise Unavailable("the wire is cut", process=self.name)
        await asyncio.sleep(max(left, 0))
        self.live()

    async def whole(self) -> None:
        """Wait until the wire is not cut."""
        await asyncio.sleep(max(self.cut_until - clock.seconds(), 0))
        self.live()

    @property
    def passes(self) -> bool:
        """Say whether what cannot wait gets through now."""
        return not self.dead and self.cut_until <= clock.seconds()

    def live(self) -> None:
        """End the task if its process is dead: nothing that it does may have an effect."""
        if self.dead:
            raise asyncio.CancelledError

    def die(self, why: str) -> None:
        """Kill the process in the middle of what it does."""
        self.crash(why)
        raise asyncio.CancelledError


class WiredJournal:
    """Append and load over a wire: an append may be stored, lost, late, or the last thing done."""

    def __init__(self, inner: MemoryJournal, wire: Wire) -> None:
        self._inner = inner
        self._wire = wire

    async def load(self, subject: str, after: int = 0) -> Loaded:
        await self._wire.reach()
        loaded = await self._inner.load(subject, after)
        await self._wire.reach()
        return loaded

    async def append(
        self, tenant: str, events: Sequence[Event], expected: int, cause: Cause
    ) -> tuple[Recorded[Event], ...]:
        wire, weather = self._wire, self._wire.world.weather
        tried = self._begin(tenant, events)
        await wire.reach()
        fate = weather.one_of(
            before=weather.crash_rate,
            after=weather.crash_rate,
            lost=weather.lost_rate,
            late=weather.late_rate,
            unknown=weather.unknown_rate,
        )
        if fate == "before":
            wire.die("before an append")
        if fate in ("lost", "late"):
            if fate == "late":
                self._store_later(tried, tenant, events, expected, cause)
            await asyncio.sleep(weather.dice.uniform(1, PATIENCE_SECONDS))
            wire.live()
            raise Unavailable("the bus did not say whether it stored it", subject=tried.subject)
        written = await self._store(tried, tenant, events, expected, cause)
        if fate == "after":
            wire.die("between an append and its answer")
        if fate == "unknown":
            await asyncio.sleep(weather.dice.uniform(1, PATIENCE_SECONDS))
            wire.live()
            raise Unavailable("the bus did not say whether it stored it", subject=tried.subject)
        await wire.reach()
        tried.heard_before = len(wire.world.tries)
        return written

    def _begin(self, tenant: str, events: Sequence[Event]) -> Try:
        tries = self._wire.world.tries
        kinds = tuple(type(event).__name__ for event in events)
        subject = subject_for(tenant, events)
        tries.append(Try(len(tries), self._wire.name, subject, kinds, clock.seconds()))
        return tries[-1]

    async def _store(
        self, tried: Try, tenant: str, events: Sequence[Event], expected: int, cause: Cause
    ) -> tuple[Recorded[Event], ...]:
        written = await self._inner.append(tenant, events, expected, cause)
        tried.seqs = tuple(recorded.seq for recorded in written)
        return written

    def _store_later(
        self, tried: Try, tenant: str, events: Sequence[Event], expected: int, cause: Cause
    ) -> None:
        """Let what was sent arrive when its sender has given up; it may even be dead by then."""

        async def arrive() -> None:
            await asyncio.sleep(seconds)
            with suppress(Conflict):
                await self._store(tried, tenant, events, expected, cause)

        seconds = self._wire.world.weather.dice.uniform(0, LATE_SECONDS_MAX + PATIENCE_SECONDS)
        self._wire.world.arriving.add(asyncio.ensure_future(arrive()))


@dataclass(frozen=True)
class WiredDelivery:
    """A delivery in the hands of a process; what a dead process says of it is not heard."""

    inner: Delivery
    wire: Wire

    @property
    def subject(self) -> str:
        return self.inner.subject

    @property
    def seq(self) -> int:
        return self.inner.seq

    @property
    def payload(self) -> bytes:
        return self.inner.payload

    @property
    def deliveries(self) -> int:
        return self.inner.deliveries

    async def ack(self) -> None:
        await self._say(self.inner.ack)

    async def nak(self) -> None:
        await self._say(self.inner.nak)

    async def term(self) -> None:
        await self._say(self.inner.term)

    async def in_progress(self) -> None:
        await self._say(self.inner.in_progress)

    async def _say(self, verb: Callable[[], Awaitable[None]]) -> None:
        if self.wire.passes:
            await verb()


class WiredBus(MemoryBus):
    """The bus as one process reaches it over its wire."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire.name, world=wire.world)
        self._wire = wire
        self._wired = WiredJournal(MemoryJournal(wire.world, f"/studio/{wire.name}"), wire)

    @property
    def journal(self) -> WiredJournal:  # type: ignore[override]
        return self._wired

    async def react(self, reactor: Reactor) -> None:
        reader = self._world.reader(reactor)
        lanes = Lanes(replace(reactor, handler=self._late(reactor.handler)), self._bury)

        async def take(room: int) -> WiredDelivery:
            delivery = await reader.next(room)
            await self._wire.whole()
            return WiredDelivery(delivery, self._wire)

        await lanes.run(take)

    async def feed(
        self, *, start_seq: int, filters: tuple[str, ...] = (), batch_max: int = 500
    ) -> AsyncIterator[Batch]:
        async for batch in super().feed(start_seq=start_seq, filters=filters, batch_max=batch_max):
            await asyncio.sleep(self._wire.world.weather.lag)
            await self._wire.whole()
            yield batch

    async def signal(self, subject: str, data: bytes) -> None:
        self._wire.live()
        weather = self._wire.world.weather
        if self._wire.passes and not weather.happens(weather.signal_lost_rate):
            signal = Signal(subject, data)
            asyncio.get_running_loop().call_later(weather.latency, self._world.tell, signal)

    async def signals(self, pattern: str) -> AsyncIterator[Signal]:
        async for signal in super().signals(pattern):
            if self._wire.passes:
                yield signal

    async def ask(self, subject: str, data: bytes, timeout_seconds: float) -> bytes:
        self._wire.live()
        weather = self._wire.world.weather
        handlers = self._world.answerers.get(subject) or []
        fate = weather.one_of(ask=weather.ask_lost_rate, answer=weather.ask_lost_rate)
        asked = None
        if handlers and self._wire.passes and fate != "ask":
            handlers.append(handlers.pop(0))
            # Whoever answers goes on even when nobody waits for the answer any more.
            asked = asyncio.ensure_future(handlers[-1](data))
            asked.add_done_callback(_retrieve)
            await asyncio.wait({asked}, timeout=timeout_seconds)
        if asked is None or not asked.done() or asked.cancelled() or fate == "answer":
            await asyncio.sleep(timeout_seconds if handlers else 0)
            self._wire.live()
            raise Unavailable("no answer in time", subject=subject)
        await self._wire.whole()
        return asked.result()

    async def answer(self, subject: str, handler: AskHandler) -> None:
        async def wired(data: bytes) -> bytes:
            await self._wire.reach()
            answer = await handler(data)
            await self._wire.reach()
            return answer

        await super().answer(subject, wired)

    async def claim(self, role: str, holder: str) -> int | None:
        await self._wire.reach(RENEW_PATIENCE_SECONDS)
        return await super().claim(role, holder)

    async def renew(self, role: str, holder: str, revision: int) -> int | None:
        await self._wire.reach(RENEW_PATIENCE_SECONDS)
        return await super().renew(role, holder, revision)

    async def resign(self, role: str, revision: int) -> None:
        await self._wire.reach(RENEW_PATIENCE_SECONDS)
        await super().resign(role, revision)

    async def count(self, counter: str, amount: int = 1) -> int:
        await self._wire.reach()
        return await super().count(counter, amount)

    async def _bury(self, service: str, delivery: Delivery, error: StudioError) -> None:
        await self._wire.reach()
        await super()._bury(service, delivery, error)

    def _late(self, handler: Handler) -> Handler:
        async def late(recorded: Recorded[Event]) -> None:
            await asyncio.sleep(self._wire.world.weather.handling)
            self._wire.live()
            await handler(recorded)

        return late


def _retrieve(asked: asyncio.Future[bytes]) -> None:
    """Look at what became of an ask, so that nobody complains that nobody did."""
    if not asked.cancelled():
        asked.exception()
