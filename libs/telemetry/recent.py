"""The newest lines of this process's log, for whoever may look at them while it runs."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

LINES_MAX: Final = 1_000


@dataclass(frozen=True)
class LogLine:
    """A line as it was written, without secrets; `number` counts the lines of this process."""

    number: int
    at: datetime
    text: str


@dataclass
class Recent:
    """A bounded memory; lines come from every thread."""

    lines_max: int = LINES_MAX
    _lines: deque[LogLine] = field(default_factory=deque)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, text: str) -> None:
        """Remember a line; the oldest makes room."""
        with self._lock:
            self._lines.append(LogLine(next(self._numbers), datetime.now(UTC), text))
            while len(self._lines) > self.lines_max:
                self._lines.popleft()

    def after(self, number: int = 0) -> list[LogLine]:
        """Return the lines behind one, oldest first."""
        with self._lock:
            return [line for line in self._lines if line.number > number]


RECENT: Final = Recent()
