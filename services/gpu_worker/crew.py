"""The jobs of an engine: those that wait, and those that are executed beside each other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from services.gpu_worker.company import FINISHING_MAX
from services.gpu_worker.frames import Frame, Mark, mark_of

# How often one that waits looks whether it was stopped.
LOOK_SECONDS: Final = 0.1


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


@dataclass(eq=False)
class Place:
    """A job that is executed: alone or beside others, and whether it has only files to make.

    `computes` says whether pictures are still decoded for them. `earlier` are jobs of the same
    scope whose files come first.
    """

    scope: str = ""
    alone: bool = False
    earlier: tuple[Place, ...] = ()
    finishing: bool = False
    computes: bool = True
    over: threading.Event = field(default_factory=threading.Event)

    def wait_for_earlier(self, check: Callable[[], None]) -> None:
        """Wait until the earlier ones are over; `check` raises if nobody wants this one any more.

        So files are numbered in the order of the jobs, as if each had waited for the one before.
        """
        for one in self.earlier:
            while not one.over.wait(LOOK_SECONDS):
                check()


@dataclass
class Crew:
    """Threads that execute jobs, `size` at once, and others that have only files to make."""

    size: int = 1
    _places: dict[threading.Thread, Place] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def place(self) -> Place:
        """The place of this thread."""
        return self._places.get(threading.current_thread()) or Place()

    @property
    def is_idle(self) -> bool:
        """Say whether nobody computes beside this thread."""
        with self._changed:
            others = {**self._places}
        others.pop(threading.current_thread(), None)
        return not any(place.computes for place in others.values())

    def wait(self, *, alone: bool) -> None:
        """Wait until there is a place, or until no other computes any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_place(alone=alone))

    def finish(self, *, computes: bool) -> None:
        """Give the place of this thread to another: it has only files to make."""
        place = self.place
        with self._changed:
            place.finishing, place.computes = True, computes
            self._changed.notify_all()

    def begin(self, work: Callable[[], None], *, alone: bool, scope: str = "") -> None:
        """Work on a thread of its own, where there is a place."""

        def worked() -> None:
            try:
                work()
            finally:
                with self._changed:
                    self._places.pop(thread).over.set()
                    self._changed.notify_all()

        thread = threading.Thread(target=worked, name="job", daemon=True)
        with self._changed:
            earlier = (one for one in self._places.values() if one.finishing and one.scope == scope)
            self._places[thread] = Place(scope, alone, tuple(earlier))
        thread.start()

    def _has_place(self, *, alone: bool) -> bool:
        places = self._places.values()
        working = [place for place in places if not place.finishing]
        if len(places) - len(working) > FINISHING_MAX or any(place.alone for place in working):
            return False
        if alone:
            return not any(place.computes for place in places)
        return len(working) < self.size
