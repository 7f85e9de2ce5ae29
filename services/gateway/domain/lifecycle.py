"""What is told of a prompt for certain, and at which place.

A place is a number that follows from the log alone: the sequence of the event that made a frame
tellable, and the frame's turn among those of that event. So every gateway numbers alike, a client
may go on at another one, and what it has heard already is known by one number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from libs.events.base import Event
from libs.events.envelope import Recorded
from libs.events.execution import ExecutionStarted, NodeBlocked, NodeFinished
from libs.events.moderation import OutputBlocked, OutputReleased
from libs.events.run import LeaseGranted, RunEnded
from services.gateway.domain.story import Story

# One event makes at most a frame for each node of a graph tellable, and a few more.
FRAMES_OF_ONE_EVENT: Final = 4_096
# Larger numbers are not exact in JavaScript.
PLACE_MAX: Final = 2**53 - 1


@dataclass(frozen=True)
class Began:
    """A worker began an attempt."""

    event: ExecutionStarted
    time_ms: int


@dataclass(frozen=True)
class Shown:
    """An output node is done; these of its files may be seen."""

    event: NodeFinished
    released: frozenset[int]


@dataclass(frozen=True)
class Withheld:
    """A node is not executed, and the run goes on."""

    event: NodeBlocked
    time_ms: int


@dataclass(frozen=True)
class Over:
    """The prompt has ended."""

    story: Story


@dataclass(frozen=True)
class Placed:
    """A moment of a prompt, and the place of its first frame."""

    place: int
    moment: Began | Shown | Withheld | Over

    @property
    def seq(self) -> int:
        """Return the event that it follows from."""
        return seq_at(self.place)


def place_of(seq: int, turn: int = 0) -> int:
    """Return the place of an event's frame."""
    return seq * FRAMES_OF_ONE_EVENT + turn


def seq_at(place: int) -> int:
    """Return the event that a place belongs to."""
    return place // FRAMES_OF_ONE_EVENT


@dataclass
class Lifecycle:
    """The moments of one prompt so far, oldest first."""

    placed: list[Placed] = field(default_factory=list)
    _finished: list[NodeFinished | Withheld] = field(default_factory=list)
    _verdicts: dict[tuple[str, int], bool] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)
    _began: bool = False
    _attempt: int = 0

    def hear(self, story: Story, recorded: Recorded[Event]) -> list[Placed]:
        """Take the next event in, with the story behind it; return what became tellable."""
        event = recorded.event
        if isinstance(event, LeaseGranted):
            self._begin_attempt(event.attempt)
            return []
        if isinstance(event, RunEnded):
            return self._end(story, recorded.seq)
        if getattr(event, "attempt", 0) != story.attempt:
            return []
        return self._hear(event, recorded)

    def _begin_attempt(self, attempt: int) -> None:
        if attempt != self._attempt:
            self._attempt, self._began = attempt, False
            self._finished, self._verdicts, self._seen = [], {}, set()

    def _hear(self, event: Event, recorded: Recorded[Event]) -> list[Placed]:
        match event:
            case ExecutionStarted() if not self._began:
                self._began = True
                began = Began(event, int(recorded.time.timestamp() * 1000))
                return self._put([Placed(place_of(recorded.seq), began)])
            case NodeFinished() if event.order not in self._seen:
                self._seen.add(event.order)
                self._finished.append(event)
            case NodeBlocked() if event.order not in self._seen:
                self._seen.add(event.order)
                self._finished.append(Withheld(event, int(recorded.time.timestamp() * 1000)))
            case OutputReleased() | OutputBlocked():
                released = isinstance(event, OutputReleased)
                self._verdicts[event.node_id, event.index] = released
            case _:
                return []
        return self._put(self._decided(recorded.seq))

    def _decided(self, seq: int) -> list[Placed]:
        """Return the outputs, one behind the other, whose files are all judged now."""
        found: list[Placed] = []
        while self._finished and self._judged(self._finished[0]):
            found.append(self._shown(self._finished.pop(0), place_of(seq, len(found))))
        return found

    def _end(self, story: Story, seq: int) -> list[Placed]:
        """Nobody will judge what is still open; then comes the end itself."""
        left = [
            self._shown(event, place_of(seq, turn)) for turn, event in enumerate(self._finished)
        ]
        self._finished = []
        return self._put([*left, Placed(place_of(seq, len(left)), Over(story))])

    def _judged(self, event: NodeFinished | Withheld) -> bool:
        if isinstance(event, Withheld):
            return True
        return all((event.node_id, output.index) in self._verdicts for output in event.outputs)

    def _shown(self, event: NodeFinished | Withheld, place: int) -> Placed:
        if isinstance(event, Withheld):
            return Placed(place, event)
        files = [output.index for output in event.outputs]
        released = [index for index in files if self._verdicts.get((event.node_id, index))]
        return Placed(place, Shown(event, frozenset(released)))

    def _put(self, placed: list[Placed]) -> list[Placed]:
        self.placed += placed
        return placed
