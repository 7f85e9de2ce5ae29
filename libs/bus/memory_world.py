"""What all in-memory buses of one world share: everything a server would hold."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from libs.bus.base import AskHandler, DeadLetter, Reactor, Signal
from libs.bus.bell import Bell
from libs.bus.identity import utc_now
from libs.bus.limits import CLAIM_SECONDS, SIGNALS_WAITING_MAX
from libs.bus.memory_log import MemoryLog, MemoryReader
from libs.bus.subjects import matches
from libs.core.jsonvalue import JsonObject

QUIET_TURNS = 10


@dataclass(frozen=True)
class Published:
    """A public event."""

    tenant: str
    kind: str
    event_id: str
    body: JsonObject


@dataclass
class Claim:
    """Who has a role, until when."""

    holder: str
    revision: int
    until: float


@dataclass
class Claims:
    """Roles that one holder at a time may have, on a clock that tests can turn."""

    now: Callable[[], datetime]
    _held: dict[str, Claim] = field(default_factory=dict)
    _revision: int = 0

    def claim(self, role: str, holder: str) -> int | None:
        """Give the role if nobody has it."""
        held = self._held.get(role)
        if held is not None and held.until > self._seconds():
            return None
        return self._give(role, holder)

    def renew(self, role: str, holder: str, revision: int) -> int | None:
        """Give the role again to whoever has it at `revision`."""
        held = self._held.get(role)
        if held is None or held.revision != revision or held.until <= self._seconds():
            return None
        return self._give(role, holder)

    def resign(self, role: str, revision: int) -> None:
        """Take the role from whoever has it at `revision`."""
        held = self._held.get(role)
        if held is not None and held.revision == revision:
            del self._held[role]

    def _give(self, role: str, holder: str) -> int:
        self._revision += 1
        self._held[role] = Claim(holder, self._revision, self._seconds() + CLAIM_SECONDS)
        return self._revision

    def _seconds(self) -> float:
        return self.now().timestamp()


@dataclass
class Letters:
    """Dead letters, and how far each durable reader of them is."""

    bell: Bell = field(default_factory=Bell)
    kept: list[DeadLetter] = field(default_factory=list)
    written: int = 0
    _done: dict[str, int] = field(default_factory=dict)

    def add(self, letter: DeadLetter) -> None:
        """Keep a letter, once for each message that a service gave up."""
        known = {(kept.service, kept.subject, kept.origin_seq) for kept in self.kept}
        if (letter.service, letter.subject, letter.origin_seq) not in known:
            self.written += 1
            self.kept.append(replace(letter, seq=self.written))
            self.bell.ring()

    def drop(self, seq: int) -> None:
        """Remove one letter."""
        self.kept = [letter for letter in self.kept if letter.seq != seq]

    async def read(self, durable: str) -> AsyncIterator[DeadLetter]:
        """Yield letters; asking for the next says that the last is done with."""
        while True:
            while (letter := self._next(self._done.get(durable, 0))) is not None:
                yield letter
                self._done[durable] = letter.seq
            await self.bell.wait()

    def _next(self, seq: int) -> DeadLetter | None:
        return next((letter for letter in self.kept if letter.seq > seq), None)


# Told apart by who they are: two readers at the same place are still two.
@dataclass(eq=False)
class Feeding:
    """Where a reader of a feed is; it is idle when it waits at the end."""

    position: int
    waiting: bool = False


@dataclass
class World:
    """A server in a variable."""

    now: Callable[[], datetime]
    deliver_twice: bool
    log: MemoryLog = field(default_factory=MemoryLog)
    letters: Letters = field(default_factory=Letters)
    readers: dict[str, MemoryReader] = field(default_factory=dict)
    feeds: list[Feeding] = field(default_factory=list)
    listeners: dict[int, tuple[str, deque[Signal], Bell]] = field(default_factory=dict)
    answerers: dict[str, list[AskHandler]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    published: dict[str, Published] = field(default_factory=dict)
    created: str = field(default_factory=lambda: utc_now().isoformat())

    def __post_init__(self) -> None:
        self.claims = Claims(self.now)

    def reader(self, reactor: Reactor) -> MemoryReader:
        """Return the durable reader of that name, made at its first use."""
        if reactor.name not in self.readers:
            reader = MemoryReader(self.log, reactor, deliver_twice=self.deliver_twice)
            self.readers[reactor.name] = reader
        return self.readers[reactor.name]

    def tell(self, signal: Signal) -> None:
        """Hand a signal to everybody who listens; a full ear loses its oldest."""
        for pattern, waiting, bell in self.listeners.values():
            if matches(pattern, signal.subject):
                waiting.append(signal)
                bell.ring()

    async def listen(self, pattern: str) -> AsyncIterator[Signal]:
        """Yield signals on `pattern`."""
        waiting: deque[Signal] = deque(maxlen=SIGNALS_WAITING_MAX)
        bell = Bell()
        self.listeners[id(bell)] = (pattern, waiting, bell)
        try:
            while True:
                while waiting:
                    yield waiting.popleft()
                await bell.wait()
        finally:
            del self.listeners[id(bell)]

    def busy(self) -> list[str]:
        """Name everybody who has something to do."""
        names = [
            f"reactor {name}"
            for name, reader in self.readers.items()
            if reader.readers and not reader.idle
        ]
        names += [
            f"feed at {feeding.position}"
            for feeding in self.feeds
            if not feeding.waiting or feeding.position < self.log.last_seq
        ]
        names += [
            f"signals {pattern}" for pattern, waiting, _ in self.listeners.values() if waiting
        ]
        return names

    async def drain(self, seconds: float) -> None:
        """Wait until nobody has anything to do, for several turns of the loop together."""
        quiet, before = 0, self.log.last_seq
        async with asyncio.timeout(seconds):
            while quiet < QUIET_TURNS:
                await asyncio.sleep(0.001 if quiet else 0)
                calm = not self.busy() and self.log.last_seq == before
                quiet, before = quiet + 1 if calm else 0, self.log.last_seq
