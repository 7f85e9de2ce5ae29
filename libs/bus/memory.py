"""The bus in memory: the semantics of JetStream in one process, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

from libs.bus.base import AskHandler, Batch, DeadLetter, Reactor, Signal, StreamState
from libs.bus.deadletter import letter_of, letter_of_delivery
from libs.bus.identity import new_event_id, utc_now
from libs.bus.lanes import Delivery, Lanes
from libs.bus.limits import IDLE_BATCH_SECONDS, check_sizes
from libs.bus.memory_log import Stored
from libs.bus.memory_world import Feeding, Published, World
from libs.bus.replies import failure_headers, raise_failure
from libs.bus.subjects import ALL_EVENTS, matches
from libs.bus.traced import appending
from libs.core.errors import StudioError, Unavailable
from libs.core.jsonvalue import JsonObject
from libs.decider import Loaded
from libs.events.base import Event
from libs.events.envelope import Cause, Recorded, read, subject_for, unwrap, wrap


class MemoryJournal:
    """Append and load on the in-memory stream."""

    def __init__(self, world: World, source: str) -> None:
        self._world = world
        self._source = source

    async def load(self, subject: str, after: int = 0) -> Loaded:
        """Return the events of `subject` after sequence `after`."""
        every = self._world.log.of_subject(subject, 0)
        events = tuple(_recorded(stored) for stored in every if stored.seq > after)
        return Loaded(events, every[-1].seq if every else 0)

    async def append(
        self, tenant: str, events: Sequence[Event], expected: int, cause: Cause
    ) -> tuple[Recorded[Event], ...]:
        """Write all events or none."""
        # One turn of the loop, so that writers can overtake each other as they do over a wire.
        await asyncio.sleep(0)
        subject = subject_for(tenant, events)
        span, cause = appending(tenant, events, cause)
        with span:
            return self._append(tenant, events, expected, cause, subject)

    def _append(
        self, tenant: str, events: Sequence[Event], expected: int, cause: Cause, subject: str
    ) -> tuple[Recorded[Event], ...]:
        payloads = [
            wrap(
                event,
                event_id=new_event_id(),
                tenant=tenant,
                source=self._source,
                time=self._world.now(),
                cause=cause,
            )
            for event in events
        ]
        check_sizes(subject, payloads)
        seqs = self._world.log.append(subject, payloads, expected)
        return tuple(
            unwrap(payload, seq=seq, subject=subject)
            for seq, payload in zip(seqs, payloads, strict=True)
        )


class MemoryBus:
    """A `Bus` in one process.

    `now` is the clock of event times and claims. With `deliver_twice` every reactor gets every
    event a second time after it has acked it.
    """

    def __init__(
        self,
        name: str = "memory",
        *,
        now: Callable[[], datetime] = utc_now,
        deliver_twice: bool = False,
        world: World | None = None,
    ) -> None:
        self._name = name
        self._world = world or World(now, deliver_twice)
        self._journal = MemoryJournal(self._world, f"/studio/{name}")

    @property
    def journal(self) -> MemoryJournal:
        """Append and load."""
        return self._journal

    def another(self, name: str) -> MemoryBus:
        """Return the bus as a second process of that name sees it."""
        return MemoryBus(name, world=self._world)

    async def drain(self, timeout_seconds: float = 60) -> None:
        """Wait until all reactors, feeds and listeners have done what there is to do."""
        try:
            await self._world.drain(timeout_seconds)
        except TimeoutError:
            busy = ", ".join(self._world.busy()) or "somebody goes on writing"
            raise TimeoutError(f"the bus does not come to rest: {busy}") from None

    def journal_events(self, subject_filter: str = ALL_EVENTS) -> list[Event]:
        """Return the events on matching subjects, in the order in which they were written."""
        return [recorded.event for recorded in self.recorded(subject_filter)]

    def recorded(self, subject_filter: str = ALL_EVENTS) -> list[Recorded[Event]]:
        """Return matching events with all that is known of them."""
        return [
            _recorded(stored)
            for stored in self._world.log.messages
            if matches(subject_filter, stored.subject)
        ]

    def published(self) -> list[Published]:
        """Return the public events."""
        return list(self._world.published.values())

    def letters(self) -> list[DeadLetter]:
        """Return all dead letters."""
        return list(self._world.letters.kept)

    async def provision(self) -> None:
        """Do nothing: everything is there from the start."""

    async def react(self, reactor: Reactor) -> None:
        """Read for `reactor` until cancelled."""
        reader = self._world.reader(reactor)
        lanes = Lanes(reactor, self._bury, first_delay_seconds=0.01)
        reader.readers += 1
        try:
            await lanes.run(reader.next)
        finally:
            reader.readers -= 1

    async def feed(
        self, *, start_seq: int, filters: tuple[str, ...] = (), batch_max: int = 500
    ) -> AsyncIterator[Batch]:
        """Yield everything from `start_seq` on."""
        log = self._world.log
        feeding = Feeding(max(start_seq - 1, 0))
        self._world.feeds.append(feeding)
        try:
            while True:
                if feeding.position >= log.last_seq:
                    feeding.waiting = True
                    await log.bell.wait(IDLE_BATCH_SECONDS)
                    feeding.waiting = False
                wanted = log.from_seq(feeding.position + 1, filters)
                taken = wanted[:batch_max]
                whole = len(taken) == len(wanted)
                end = max(feeding.position, log.last_seq) if whole else taken[-1].seq
                events = tuple(
                    read(stored.payload, seq=stored.seq, subject=stored.subject) for stored in taken
                )
                feeding.position = end
                yield Batch(events, len(wanted) - len(taken), end)
        finally:
            self._world.feeds.remove(feeding)

    async def state(self) -> StreamState:
        """Return where EVENTS begins and ends."""
        return StreamState(1, self._world.log.last_seq, self._world.created)

    async def signal(self, subject: str, data: bytes) -> None:
        """Send a signal."""
        self._world.tell(Signal(subject, data))

    def signals(self, pattern: str) -> AsyncIterator[Signal]:
        """Yield signals on `pattern`."""
        return self._world.listen(pattern)

    async def ask(self, subject: str, data: bytes, timeout_seconds: float) -> bytes:
        """Ask one of those who answer on `subject`."""
        handlers = self._world.answerers.get(subject)
        if not handlers:
            raise Unavailable("nobody answers", subject=subject)
        handlers.append(handlers.pop(0))
        try:
            async with asyncio.timeout(timeout_seconds):
                return await handlers[-1](data)
        except TimeoutError:
            raise Unavailable(
                "no answer in time", subject=subject, timeout_seconds=timeout_seconds
            ) from None
        except Exception as error:
            raise_failure(failure_headers(error), subject)
            raise

    async def answer(self, subject: str, handler: AskHandler) -> None:
        """Answer asks on `subject` until cancelled."""
        handlers = self._world.answerers.setdefault(subject, [])
        handlers.append(handler)
        try:
            await asyncio.Event().wait()
        finally:
            handlers.remove(handler)

    async def claim(self, role: str, holder: str) -> int | None:
        """Try to become the one holder of `role`."""
        return self._world.claims.claim(role, holder)

    async def renew(self, role: str, holder: str, revision: int) -> int | None:
        """Keep `role`."""
        return self._world.claims.renew(role, holder, revision)

    async def resign(self, role: str, revision: int) -> None:
        """Give `role` up."""
        self._world.claims.resign(role, revision)

    async def count(self, counter: str, amount: int = 1) -> int:
        """Take the next `amount` numbers of `counter`."""
        taken = self._world.counters.get(counter, 0)
        self._world.counters[counter] = taken + amount
        return taken + 1

    async def dead_letter(
        self, service: str, reason: str, recorded: Recorded[Event], error: StudioError
    ) -> None:
        """Set a message aside for a person."""
        self._world.letters.add(letter_of(service, reason, recorded, error))

    def dead_letters(self, *, durable: str) -> AsyncIterator[DeadLetter]:
        """Yield dead letters."""
        return self._world.letters.read(durable)

    async def kept_letters(self, most: int) -> list[DeadLetter]:
        """Return the newest dead letters."""
        return self._world.letters.kept[-most:]

    async def drop_letter(self, seq: int) -> None:
        """Remove one dead letter."""
        self._world.letters.drop(seq)

    async def publish_public(self, tenant: str, kind: str, event_id: str, body: JsonObject) -> None:
        """Publish to PUBLIC once for each `event_id`."""
        self._world.published.setdefault(event_id, Published(tenant, kind, event_id, body))

    async def trouble(self) -> str:
        """Have none."""
        return ""

    async def close(self) -> None:
        """Do nothing: there is nothing to flush."""

    async def _bury(self, service: str, delivery: Delivery, error: StudioError) -> None:
        self._world.letters.add(letter_of_delivery(service, delivery, error))


def _recorded(stored: Stored) -> Recorded[Event]:
    return unwrap(stored.payload, seq=stored.seq, subject=stored.subject)
