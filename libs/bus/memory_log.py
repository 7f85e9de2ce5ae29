"""The stream of the in-memory bus: appends, sequences and durable readers, as JetStream has them."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from libs.bus.base import Reactor
from libs.bus.bell import Bell
from libs.bus.subjects import matches_any
from libs.core.errors import Conflict


@dataclass(frozen=True)
class Stored:
    """A message as it lies on the stream."""

    seq: int
    subject: str
    payload: bytes


@dataclass
class MemoryLog:
    """Messages in one order, with optimistic concurrency per subject."""

    bell: Bell = field(default_factory=Bell)
    messages: list[Stored] = field(default_factory=list)
    _last: dict[str, int] = field(default_factory=dict)
    _by_subject: dict[str, list[Stored]] = field(default_factory=dict)

    @property
    def last_seq(self) -> int:
        """Return the sequence of the newest message."""
        return len(self.messages)

    def append(self, subject: str, payloads: Sequence[bytes], expected: int) -> list[int]:
        """Write all or, if the subject is not at `expected`, none."""
        found = self._last.get(subject, 0)
        if found != expected:
            raise Conflict(
                "somebody else wrote first", subject=subject, expected=expected, found=found
            )
        first = self.last_seq + 1
        for seq, payload in enumerate(payloads, first):
            stored = Stored(seq, subject, payload)
            self.messages.append(stored)
            self._by_subject.setdefault(subject, []).append(stored)
            self._last[subject] = seq
        self.bell.ring()
        return list(range(first, self.last_seq + 1))

    def of_subject(self, subject: str, after: int) -> list[Stored]:
        """Return the messages of `subject` after sequence `after`."""
        return [stored for stored in self._by_subject.get(subject, []) if stored.seq > after]

    def from_seq(self, seq: int, filters: tuple[str, ...]) -> list[Stored]:
        """Return the messages from `seq` on whose subject is wanted."""
        rest = self.messages[max(seq, 1) - 1 :]
        return [stored for stored in rest if matches_any(filters, stored.subject)]


@dataclass
class MemoryDelivery:
    """A message that a durable reader has handed out."""

    reader: MemoryReader
    stored: Stored
    deliveries: int

    @property
    def subject(self) -> str:
        return self.stored.subject

    @property
    def seq(self) -> int:
        return self.stored.seq

    @property
    def payload(self) -> bytes:
        return self.stored.payload

    async def ack(self) -> None:
        self.reader.done(self.seq)

    async def nak(self) -> None:
        self.reader.again(self.seq)

    async def term(self) -> None:
        self.reader.done(self.seq, twice=False)

    async def in_progress(self) -> None:
        self.reader.hold(self.seq)


class MemoryReader:
    """What the stream remembers of a durable reader, however many processes read through it."""

    def __init__(self, log: MemoryLog, reactor: Reactor, *, deliver_twice: bool) -> None:
        self._log = log
        self._filters = reactor.filters
        self._ack_wait_seconds = reactor.ack_wait_seconds
        self._deliver_twice = deliver_twice
        self._position = 0
        self._deadlines: dict[int, float] = {}
        self._again: list[int] = []
        self._deliveries: dict[int, int] = {}
        self._doubled: set[int] = set()
        self._queue: deque[object] = deque()
        self.readers = 0

    @property
    def idle(self) -> bool:
        """Say whether nothing is handed out and nothing waits to be."""
        self._skip_unwanted()
        return not self._deadlines and not self._again and self._position == self._log.last_seq

    async def next(self, _room: int) -> MemoryDelivery:
        """Hand out the next message to whoever has waited longest; wait while there is none."""
        ticket = object()
        self._queue.append(ticket)
        try:
            await asyncio.sleep(0)
            while True:
                self._lapse()
                if self._queue[0] is ticket and (delivery := self._hand_out()) is not None:
                    return delivery
                now = asyncio.get_running_loop().time()
                first = min(self._deadlines.values(), default=None)
                await self._log.bell.wait(None if first is None else max(first - now, 0.001))
        finally:
            self._queue.remove(ticket)
            self._log.bell.ring()

    def done(self, seq: int, *, twice: bool = True) -> None:
        """Strike a message off, or hand it out once more if everything comes twice."""
        if self._deadlines.pop(seq, None) is None:
            return
        if twice and self._deliver_twice and seq not in self._doubled:
            self._doubled.add(seq)
            self._deliveries[seq] -= 1
            heapq.heappush(self._again, seq)
        self._log.bell.ring()

    def again(self, seq: int) -> None:
        """Take a message back and hand it out anew."""
        if self._deadlines.pop(seq, None) is not None:
            heapq.heappush(self._again, seq)
            self._log.bell.ring()

    def hold(self, seq: int) -> None:
        """Begin the wait for an answer anew."""
        if seq in self._deadlines:
            loop = asyncio.get_running_loop()
            self._deadlines[seq] = loop.time() + self._ack_wait_seconds

    def _lapse(self) -> None:
        now = asyncio.get_running_loop().time()
        for seq in [seq for seq, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[seq]
            heapq.heappush(self._again, seq)

    def _hand_out(self) -> MemoryDelivery | None:
        seq = heapq.heappop(self._again) if self._again else self._next_new()
        if seq is None:
            return None
        loop = asyncio.get_running_loop()
        self._deadlines[seq] = loop.time() + self._ack_wait_seconds
        self._deliveries[seq] = self._deliveries.get(seq, 0) + 1
        return MemoryDelivery(self, self._log.messages[seq - 1], self._deliveries[seq])

    def _next_new(self) -> int | None:
        self._skip_unwanted()
        if self._position == self._log.last_seq:
            return None
        self._position += 1
        return self._position

    def _skip_unwanted(self) -> None:
        while self._position < self._log.last_seq and not matches_any(
            self._filters, self._log.messages[self._position].subject
        ):
            self._position += 1
