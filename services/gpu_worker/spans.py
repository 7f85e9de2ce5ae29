"""Spans of the engine: measured where the work is done, sent by the agent.

The engine computes, and speaks to nobody but its agent. What took how long there is told with the
end of a job, and the agent records it below its own span of the execution.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

from libs.core.jsonvalue import Json, JsonObject
from libs.telemetry import tracing

T = TypeVar("T")
# A graph has at most a few hundred nodes; what a step loads comes on top.
SPANS_MAX: Final = 2_000
NO_PARENT: Final = -1


@dataclass
class Stopwatch:
    """What the engine measures of one job; nothing while `on` is not set."""

    on: bool = False
    _taken: list[JsonObject] = field(default_factory=list)
    _open: list[int] = field(default_factory=list)

    def begin(self, name: str, **facts: Json) -> None:
        """Begin a part of what is open."""
        if self.on and len(self._taken) < SPANS_MAX:
            parent = self._open[-1] if self._open else NO_PARENT
            taken: JsonObject = {"name": name, "began_ns": time.time_ns(), "parent": parent}
            self._open.append(len(self._taken))
            self._taken.append({**taken, "facts": facts})

    def end(self, failed: str = "") -> None:
        """End the part that was begun last."""
        if self._open:
            self._taken[self._open.pop()] |= {"ended_ns": time.time_ns(), "failed": failed}

    def told(self, failed: str = "") -> list[JsonObject]:
        """Return all parts; what is still open ends here."""
        while self._open:
            self.end(failed)
        return self._taken

    @contextmanager
    def part(self, name: str, **facts: Json) -> Iterator[None]:
        """Measure the block."""
        depth = len(self._open)
        self.begin(name, **facts)
        try:
            yield
        finally:
            if len(self._open) > depth:
                self.end()


class Watching:
    """The stopwatch of the job that a thread has in hand, for parts that outlive the job."""

    def __init__(self, first: Stopwatch | None = None) -> None:
        self._of_thread = threading.local()
        self.present = first or Stopwatch()

    @property
    def present(self) -> Stopwatch:
        """The stopwatch of this thread; one that is off where there is no job."""
        found: Stopwatch = getattr(self._of_thread, "watch", None) or Stopwatch()
        return found

    @present.setter
    def present(self, watch: Stopwatch) -> None:
        self._of_thread.watch = watch

    def loading(self, part: str, load: Callable[[], T]) -> T:
        """Load a network, measured."""
        with self.present.part("load weights", part=part):
            return load()


def record_parts(parts: Json, facts: Mapping[str, tracing.Value]) -> None:
    """Record what an engine measured below the span in hand."""
    if not isinstance(parts, list):
        return
    made: list[str] = []
    for part in parts:
        told = cast("dict[str, Any]", part)
        parent = told["parent"]
        known: dict[str, Any] = {**facts, **told["facts"]}
        made.append(
            tracing.record(
                told["name"],
                told["began_ns"],
                told["ended_ns"],
                parent=made[parent] if parent >= 0 else tracing.current(),
                failed=told["failed"],
                **known,
            )
        )
