"""A server that delivers as JetStream may: late, twice, and after an ack that was lost."""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass

from libs.bus.base import Reactor
from libs.bus.memory_log import MemoryLog, MemoryReader
from libs.bus.memory_world import World
from tests.chaos.seeded import clock
from tests.chaos.seeded.weather import Weather

DOUBLE_SECONDS_MAX = 20.0


class RestlessReader(MemoryReader):
    """A durable reader whose acks are lost at times, or heard and forgotten."""

    def __init__(self, log: MemoryLog, reactor: Reactor, weather: Weather) -> None:
        super().__init__(log, reactor, deliver_twice=False)
        self._weather = weather

    def done(self, seq: int, *, twice: bool = True) -> None:
        weather = self._weather
        if twice and weather.happens(weather.ack_lost_rate):
            return
        known = seq in self._deadlines
        super().done(seq, twice=twice)
        if twice and known and weather.happens(weather.doubled_rate):
            later = weather.dice.uniform(0, DOUBLE_SECONDS_MAX)
            asyncio.get_running_loop().call_later(later, self._once_more, seq)

    def _once_more(self, seq: int) -> None:
        if seq in self._deadlines or seq in self._again:
            return
        heapq.heappush(self._again, seq)
        self._log.bell.ring()


@dataclass
class Try:
    """One append as its writer tried it, in the order in which the tries began.

    `heard_before` is the number of the first try that began after its answer was heard.
    """

    number: int
    source: str
    subject: str
    kinds: tuple[str, ...]
    began: float
    seqs: tuple[int, ...] = ()
    heard_before: int | None = None


class RestlessWorld(World):
    """A server under a weather; it remembers who tried to write what."""

    def __init__(self, weather: Weather) -> None:
        super().__init__(clock.now, deliver_twice=False)
        self.weather = weather
        self.tries: list[Try] = []
        self.arriving: set[asyncio.Future[None]] = set()

    def reader(self, reactor: Reactor) -> MemoryReader:
        if reactor.name not in self.readers:
            self.readers[reactor.name] = RestlessReader(self.log, reactor, self.weather)
        return self.readers[reactor.name]
