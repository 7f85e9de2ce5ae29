"""What nodes returned, remembered within a bound."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from libs.core.jsonvalue import JsonObject

# What a result takes beside its values, so that small ones are not free.
RESULT_BYTES = 1024
# How often one that waits for a result looks whether it was stopped.
LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Result:
    """What a node returned: its outputs in order, and what it shows."""

    values: tuple[object, ...]
    ui: JsonObject | None = None

    @property
    def size_bytes(self) -> int:
        """What it takes in memory; values that take much say how much."""
        return RESULT_BYTES + sum(size_of(value) for value in self.values)


def size_of(value: object) -> int:
    """Return what a value takes in memory, of a tensor that a pack handed on its bytes."""
    for name in ("size_bytes", "nbytes"):
        told = getattr(value, name, None)
        if isinstance(told, int):
            return told
    return 0


class ResultMemory:
    """Results by scope and fingerprint, bounded in bytes; the longest unused goes first.

    A scope is whoever may share results: what one tenant made is never handed to another.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes_used = 0
        self._results: OrderedDict[tuple[str, str], Result] = OrderedDict()
        self._promised: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Condition()

    def get(self, scope: str, fingerprint: str) -> Result | None:
        """Return a remembered result."""
        with self._lock:
            result = self._results.get((scope, fingerprint))
            if result is not None:
                self._results.move_to_end((scope, fingerprint))
            return result

    def put(self, scope: str, fingerprint: str, result: Result) -> None:
        """Remember a result, unless it is larger than the memory."""
        with self._lock:
            self._forget((scope, fingerprint))
            if result.size_bytes > self.bytes_max:
                return
            self._results[scope, fingerprint] = result
            self.bytes_used += result.size_bytes
            while self.bytes_used > self.bytes_max:
                self._forget(next(iter(self._results)))

    def promise(self, scope: str, fingerprint: str) -> None:
        """Say that a result is about to be remembered; `release` follows, whatever becomes of it."""
        with self._lock:
            self._promised[scope, fingerprint] += 1

    def release(self, scope: str, fingerprint: str) -> None:
        """Say that a promised result is here, or will never be."""
        with self._lock:
            self._promised[scope, fingerprint] -= 1
            self._promised += Counter()  # What is at zero is forgotten.
            self._lock.notify_all()

    def settle(
        self, scope: str, fingerprints: Iterable[str], check: Callable[[], None] = lambda: None
    ) -> None:
        """Wait until none of these is promised; `check` raises if nobody wants them any more."""
        wanted = {(scope, fingerprint) for fingerprint in fingerprints}
        with self._lock:
            while not wanted.isdisjoint(self._promised):
                self._lock.wait(LOOK_SECONDS)
                check()

    def fingerprints(self, scope: str) -> tuple[str, ...]:
        """Return what is remembered for a scope, the longest unused first."""
        with self._lock:
            return tuple(found for owner, found in self._results if owner == scope)

    def free(self) -> None:
        """Forget everything."""
        with self._lock:
            self._results.clear()
            self.bytes_used = 0

    def _forget(self, key: tuple[str, str]) -> None:
        result = self._results.pop(key, None)
        if result is not None:
            self.bytes_used -= result.size_bytes
