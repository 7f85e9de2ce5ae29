"""The jobs of an engine: those that wait, and those that are executed beside each other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from services.gpu_worker.frames import Frame, Mark, mark_of


@dataclass
class Orders:
    """Jobs in the order in which they came; one that is stopped while it waits is never begun."""

    _waiting: deque[Frame] = field(default_factory=deque)
    _open: set[Mark] = field(default_factory=set)
    _stopped: set[Mark] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, frame: Frame) -> None:
        """Take a job in."""
        with self._changed:
            self._waiting.append(frame)
            self._open.add(mark_of(frame.facts))
            self._changed.notify_all()

    def next(self) -> Frame:
        """Return the next job, waiting for one; it waits on until it is taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            return self._waiting[0]

    def take(self, frame: Frame) -> bool:
        """Begin with the next job; say whether it still was to be begun."""
        with self._changed:
            if not self._waiting or self._waiting[0] is not frame:
                return False
            self._waiting.popleft()
            return True

    def stop(self, mark: Mark) -> bool:
        """Stop a job; say whether it had not begun, and so is over already."""
        with self._changed:
            for frame in self._waiting:
                if mark_of(frame.facts) == mark:
                    self._waiting.remove(frame)
                    self._open.discard(mark)
                    return True
            if mark in self._open:
                self._stopped.add(mark)
        return False

    def is_stopped(self, mark: Mark) -> bool:
        """Say whether a job that has begun must stop."""
        return mark in self._stopped

    def close(self, mark: Mark) -> None:
        """Forget a job that is over."""
        with self._changed:
            self._open.discard(mark)
            self._stopped.discard(mark)


@dataclass
class Crew:
    """Threads that execute jobs, `size` at once; one alone uses the thread that hands them out."""

    size: int = 1
    _working: set[threading.Thread] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def is_idle(self) -> bool:
        """Say whether nobody works beside this thread."""
        return not self._working - {threading.current_thread()}

    def wait(self, *, alone: bool) -> None:
        """Wait until there is a place, or until all others are done."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._working) < (1 if alone else self.size))

    def beside(self, work: Callable[[], None]) -> None:
        """Work on a thread of its own, where there is a place."""

        def worked() -> None:
            try:
                work()
            finally:
                with self._changed:
                    self._working.discard(thread)
                    self._changed.notify_all()

        thread = threading.Thread(target=worked, name="job", daemon=True)
        with self._changed:
            self._working.add(thread)
        thread.start()
