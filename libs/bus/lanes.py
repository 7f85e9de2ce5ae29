"""How deliveries meet a handler: in order within a subject, many subjects at once.

Both buses work through the same lanes. A failing event is tried again while it is in hand, and
the events of its subject behind it wait; so a retry never lets a later event overtake it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from libs.bus.base import Reactor
from libs.core.errors import Poisoned, Refused, StudioError, Unavailable
from libs.events.envelope import unwrap
from libs.telemetry import measures

log = structlog.get_logger(__name__)

HANDLER_SECONDS_MAX = 600.0
CRASHES_PER_TRY = 4
DELAY_SECONDS_MAX = 10.0


class Delivery(Protocol):
    """A message in hand: the bus waits to hear what became of it."""

    @property
    def subject(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def deliveries(self) -> int: ...
    @property
    def payload(self) -> bytes: ...
    async def ack(self) -> None: ...
    async def nak(self) -> None: ...
    async def term(self) -> None: ...
    async def in_progress(self) -> None: ...


Bury = Callable[[str, Delivery, StudioError], Awaitable[None]]
Next = Callable[[int], Awaitable[Delivery]]


@dataclass(frozen=True)
class Failure:
    """Why a try did not succeed, and whether the tries it has left become fewer."""

    error: StudioError
    counts: bool = True
    final: bool = False


def _seconds() -> float:
    """Tell the time of the loop, which is the clock that all waits of a lane go by."""
    return asyncio.get_running_loop().time()


@dataclass
class Tries:
    """The tries that one delivery has had, those of processes that died with it included."""

    reactor: Reactor
    failures: int
    made: int = 0
    began: float = field(default_factory=_seconds)

    def spent(self, failure: Failure) -> bool:
        """Count `failure` and say whether it was the last.

        What is unavailable is waited for, and counts only when it stays so for long.
        """
        self.made += 1
        counts = failure.counts or _seconds() - self.began > self.reactor.patience_seconds
        self.failures += counts
        return failure.final or (counts and self.failures >= self.reactor.deliver_max)


def whereabouts(error: BaseException) -> str:
    """Return where `error` was raised; never its words, which may quote what people typed."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " > ".join(places[-3:])


class Lanes:
    """The deliveries that one reactor has in hand."""

    def __init__(self, reactor: Reactor, bury: Bury, *, first_delay_seconds: float = 0.1) -> None:
        self._reactor = reactor
        self._bury = bury
        self._first_delay_seconds = first_delay_seconds
        self._lanes: dict[str, deque[Delivery]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._hands = asyncio.Semaphore(reactor.concurrency)
        self._in_hand_max = max(64, reactor.concurrency * 16)
        self._roomy = asyncio.Event()
        self._leaving = asyncio.Event()

    @property
    def in_hand(self) -> int:
        """Return how many deliveries are not settled yet."""
        return sum(len(lane) for lane in self._lanes.values())

    async def run(self, take_next: Next) -> None:
        """Work until cancelled, then settle what is begun; a second cancellation abandons it."""
        beats = asyncio.create_task(self._beat())
        try:
            while True:
                while (room := self._in_hand_max - self.in_hand) <= 0:
                    self._roomy.clear()
                    await self._roomy.wait()
                self._put(await take_next(room))
        finally:
            try:
                await self._leave()
            finally:
                beats.cancel()

    def _put(self, delivery: Delivery) -> None:
        lane = self._lanes.get(delivery.subject)
        if lane is not None:
            # What comes again may come behind what it should precede; only the first is begun.
            place = len(lane)
            while place > 1 and lane[place - 1].seq > delivery.seq:
                place -= 1
            lane.insert(place, delivery)
            return
        self._lanes[delivery.subject] = deque([delivery])
        task = asyncio.create_task(self._walk(delivery.subject))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # What it had in hand is neither acked nor beaten for, so the bus delivers it again.
            log.error(
                "lane broke",
                reactor=self._reactor.name,
                error=type(error).__name__,
                where=whereabouts(error),
            )

    async def _walk(self, subject: str) -> None:
        lane = self._lanes[subject]
        try:
            while lane:
                await self._settle(lane[0])
                lane.popleft()
                self._roomy.set()
        finally:
            del self._lanes[subject]
            self._roomy.set()

    async def _settle(self, delivery: Delivery) -> None:
        tries = Tries(self._reactor, failures=delivery.deliveries - 1)
        if delivery.deliveries > 1:
            measures.REDELIVERIES.labels(self._reactor.name).inc()
        while not self._leaving.is_set():
            async with self._hands:
                if self._leaving.is_set():
                    break
                failure = await self._try(delivery)
            if failure is None:
                measures.DELIVERIES.labels(self._reactor.name, "done").inc()
                await self._tell(delivery, delivery.ack)
                return
            measures.RETRIES.labels(self._reactor.name, failure.error.code).inc()
            if tries.spent(failure):
                await self._give_up(delivery, failure.error)
                return
            await self._pause(tries.made - 1)
        await self._tell(delivery, delivery.nak)

    async def _try(self, delivery: Delivery) -> Failure | None:
        crashes_max = self._reactor.deliver_max * CRASHES_PER_TRY
        if delivery.deliveries > crashes_max:
            error = Poisoned("no process came back from it", deliveries=delivery.deliveries)
            return Failure(error, final=True)
        event_id = ""
        try:
            recorded = unwrap(delivery.payload, seq=delivery.seq, subject=delivery.subject)
            event_id = recorded.event_id
            async with asyncio.timeout(HANDLER_SECONDS_MAX):
                await self._reactor.handler(recorded)
        except Refused as error:
            self._log("refused", delivery, event_id, error)
        except Poisoned as error:
            return Failure(error, final=True)
        except Unavailable as error:
            self._log("unavailable", delivery, event_id, error)
            return Failure(error, counts=False)
        except Exception as error:
            self._log("failed", delivery, event_id, error)
            return Failure(_as_ours(error))
        return None

    async def _give_up(self, delivery: Delivery, error: StudioError) -> None:
        """Set the delivery aside; it stays in hand until that is known to have worked."""
        delays = 0
        while not self._leaving.is_set():
            try:
                await self._bury(self._reactor.name, delivery, error)
            except Unavailable as trouble:
                self._log("not set aside yet", delivery, "", trouble)
                await self._pause(delays)
                delays += 1
            else:
                self._log("set aside", delivery, "", error)
                measures.DELIVERIES.labels(self._reactor.name, "set_aside").inc()
                await self._tell(delivery, delivery.term)
                return
        await self._tell(delivery, delivery.nak)

    async def _pause(self, delays: int) -> None:
        seconds = min(self._first_delay_seconds * 2 ** min(delays, 20), DELAY_SECONDS_MAX)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._leaving.wait()

    async def _tell(self, delivery: Delivery, verb: Callable[[], Awaitable[None]]) -> None:
        try:
            await verb()
        except Unavailable as error:
            # The bus did not hear it and will deliver again, which every handler expects.
            self._log("answer lost", delivery, "", error)

    async def _beat(self) -> None:
        """Tell the bus that what is in hand is being worked on."""
        while True:
            await asyncio.sleep(self._reactor.ack_wait_seconds / 3)
            for lane in tuple(self._lanes.values()):
                for delivery in tuple(lane):
                    await self._tell(delivery, delivery.in_progress)

    async def _leave(self) -> None:
        self._leaving.set()
        tasks = tuple(self._tasks)
        if not tasks:
            return
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()

    def _log(
        self, what: str, delivery: Delivery, event_id: str, error: StudioError | Exception
    ) -> None:
        log.warning(
            "reaction",
            outcome=what,
            reactor=self._reactor.name,
            event_id=event_id,
            subject=delivery.subject,
            seq=delivery.seq,
            deliveries=delivery.deliveries,
            error=type(error).__name__,
            message=error.message if isinstance(error, StudioError) else "",
            where=whereabouts(error),
        )


def _as_ours(error: Exception) -> StudioError:
    wrapped = Poisoned("a handler failed", error=type(error).__name__)
    wrapped.__cause__ = error
    return wrapped
