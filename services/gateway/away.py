"""Where pages were in the log when they were cut off: ComfyUI's editor cannot say it itself.

It connects again under its client id and names no place, so it would never hear of what ended
meanwhile. This gateway remembers for it, for a while.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from services.gateway.domain.story import Owner

Clock = Callable[[], float]

KEPT_SECONDS: Final = 600.0
KEPT_MAX: Final = 10_000
# What was sent so shortly before a cut may never have arrived: longer than a dead line is not seen.
DOUBT_SECONDS: Final = 45.0
# How a socket is ended by whoever has heard all that was sent; 1005 is a torn line's too.
PARTINGS: Final = frozenset({1000, 1001})


class Places:
    """The places up to which someone was told, of late."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._told: deque[tuple[float, int]] = deque()

    def told(self, place: int) -> None:
        """Note that all up to a place is on its way."""
        if not self._told or place > self._told[-1][1]:
            self._told.append((self._clock(), place))
        self._forget()

    @property
    def last(self) -> int:
        """Return the place up to which all was sent."""
        return self._told[-1][1] if self._told else 0

    @property
    def certain(self) -> int:
        """Return the place up to which all has arrived, whatever became of the line."""
        self._forget()
        return self._told[0][1] if self._told else 0

    def _forget(self) -> None:
        doubtful = self._clock() - DOUBT_SECONDS
        while len(self._told) > 1 and self._told[1][0] <= doubtful:
            self._told.popleft()


@dataclass
class Away:
    """Who has left, and from which place on it has not heard."""

    clock: Clock = time.monotonic
    _left: OrderedDict[tuple[Owner, str], tuple[float, int]] = field(default_factory=OrderedDict)

    def left(self, owner: Owner, client_id: str, place: int) -> None:
        """Remember someone."""
        self._left[owner, client_id] = (self.clock(), place)
        self._left.move_to_end((owner, client_id))
        while len(self._left) > KEPT_MAX:
            self._left.popitem(last=False)

    def place_of(self, owner: Owner, client_id: str) -> int | None:
        """Return where someone who comes back has stopped hearing; None for anybody else."""
        since, place = self._left.pop((owner, client_id), (float("-inf"), 0))
        return place if self.clock() - since < KEPT_SECONDS else None
