"""Run numbers that only ever grow, whoever leads, taken in blocks so that nobody waits for them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from libs.bus.base import Bus

COUNTER: Final = "run-number"
BLOCK: Final = 256


@dataclass
class Numbers:
    """The rest of the block that this process has."""

    bus: Bus
    _next: int = 1
    _last: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def take(self, above: int) -> int:
        """Return the next number; it is greater than `above`, the greatest seen so far."""
        async with self._lock:
            if self._next > self._last or self._next <= above:
                first = await self.bus.count(COUNTER, BLOCK)
                if first <= above:
                    # The counter was lost and began anew; skip what was given out before.
                    skipped = above - first + 1
                    first = await self.bus.count(COUNTER, skipped) + skipped - BLOCK
                self._next, self._last = first, first + BLOCK - 1
            number = self._next
            self._next += 1
            return number

    def forget(self) -> None:
        """Give the block up, since another leader may have gone on behind it."""
        self._next, self._last = 1, 0
