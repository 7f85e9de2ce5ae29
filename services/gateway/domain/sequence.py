"""The order of frames: news of one attempt, told in the order in which it happened.

Events arrive for certain but late, signals at once but perhaps never. Both carry `order`.
A missing signal is waited for a moment; an event that comes after its turn is told late.
What follows from an event is told only when it is permitted, with the frames that are given then.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Frames
from dataclasses import dataclass, field

from libs.events.execution import ExecutionStarted, NodeBlocked, NodeFinished
from libs.events.signals import Progress
from services.gateway.domain import frames
from services.gateway.domain.frames import Frame

HELD_MAX = 2_000
# More than any graph has nodes of its own.
NODES_TOLD_MAX = 600
# A state names every node, so that all of them together would grow with the square of the graph.
# One of more nodes than these is told so often at most, as nobody looks at it more often.
STATE_NODES = 50
STATE_SECONDS = 0.1


@dataclass(frozen=True)
class Started:
    """The attempt began."""

    event: ExecutionStarted


@dataclass(frozen=True)
class Finished:
    """An output node finished, or a node is not executed."""

    event: NodeFinished | NodeBlocked


@dataclass(frozen=True)
class Passed:
    """Something took place `order` that nobody is shown, such as the attempt's end."""

    order: int


News = Started | Finished | Passed | Progress


def order_of(news: News) -> int:
    """Return the place of a piece of news in its attempt."""
    return news.event.order if isinstance(news, Started | Finished) else news.order


@dataclass
class Sequence:
    """The sequencer of one attempt; `now` is any clock that only grows, in seconds."""

    prompt_id: str
    attempt: int
    wait_seconds: float = 1.0
    started: Started | None = None
    at_work: str | None = None
    _next: int = 0
    _held: dict[int, News] = field(default_factory=dict)
    _late: list[Finished] = field(default_factory=list)
    _gap_since: float | None = None
    _nodes: dict[str, Progress] = field(default_factory=dict)
    _cached: frozenset[str] = frozenset()
    _permitted: dict[int, Frames[Frame]] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)
    _now: float = 0.0
    _state_due: float = float("-inf")
    _owes_state: bool = False

    def hear(self, news: News) -> None:
        """Take news in; what was already told, or is old, changes nothing."""
        order = order_of(news)
        passed = self.started is not None and order < self._next
        if isinstance(news, Finished):
            if order in self._seen:
                return
            self._seen.add(order)
            if passed:
                self._late.append(news)
                return
        if passed or order in self._held or self._crowded_out(news):
            return
        self._held[order] = news

    def permit(self, order: int, told: Frames[Frame]) -> None:
        """Let the event at `order` be told when its turn comes, with these frames."""
        self._permitted[order] = told

    def has_told(self, order: int) -> bool:
        """Say whether nothing is left to tell of the event at `order`."""
        return order not in self._held and all(late.event.order != order for late in self._late)

    def hurry(self) -> None:
        """Wait for nothing that may be lost from now on: the run is over."""
        self.wait_seconds = 0

    def waits(self) -> bool:
        """Say whether time alone can release something."""
        return self._gap_since is not None or self._owes_state

    def ready(self, now: float) -> list[Frame]:
        """Return what can be told now, in order."""
        self._now = now
        told = self._ready_late()
        if self.started is None and not self._begin(told):
            return told
        while self._held:
            news = self._held.get(self._next)
            if news is None:
                if not self._skip(now):
                    break
                continue
            if self._forbidden(news):
                break
            self._advance(told)
        if not self._held:
            self._gap_since = None
        return [*told, *self._state()] if self._owes_state else told

    def flush(self) -> list[Frame]:
        """Return all that is left, waiting for nothing: the run is over and recorded."""
        told = [frame for news in self._late for frame in self._tell_output(news)]
        self._late = []
        if self.started is None and not self._begin(told):
            return told
        for order in sorted(self._held):
            self._next = order
            self._advance(told)
        self._gap_since, self._state_due = None, self._now
        return [*told, *self._state()] if self._owes_state else told

    @property
    def steps(self) -> Mapping[str, Progress]:
        """Return how far every node is that is not still waiting."""
        return self._nodes

    @property
    def cached(self) -> frozenset[str]:
        """Return the nodes that need not be executed again."""
        return self._cached

    def catch_up(self) -> list[Frame]:
        """Return what tells a client that came late where the attempt is."""
        if self.at_work is None:
            return []
        state = frames.progress_state(self.prompt_id, self._nodes)
        return [state, self._executing(self.at_work)]

    def _begin(self, told: list[Frame]) -> bool:
        begun = next((news for news in self._held.values() if isinstance(news, Started)), None)
        if begun is None or self._forbidden(begun):
            return False
        self.started = begun
        self._cached = frozenset(begun.event.cached)
        self._next = begun.event.order
        self._held = {order: news for order, news in self._held.items() if order >= self._next}
        self._advance(told)
        return True

    def _skip(self, now: float) -> bool:
        if self._gap_since is None:
            self._gap_since = now
        if now - self._gap_since < self.wait_seconds:
            return False
        self._next, self._gap_since = min(self._held), None
        return True

    def _advance(self, told: list[Frame]) -> None:
        news = self._held.pop(self._next)
        self._next += 1
        self._gap_since = None
        told.extend(self._tell(news))

    def _tell(self, news: News) -> list[Frame]:
        match news:
            case Started(event):
                return list(self._permitted.pop(event.order, ()))
            case Finished():
                return self._tell_output(news)
            case Progress():
                return self._tell_step(news)
        return []

    def _tell_step(self, step: Progress) -> list[Frame]:
        told = [] if step.announces else self._announce(step.node_id, step)
        self._nodes[step.node_id] = step
        self._let_go()
        told += self._state()
        if step.state != "running":
            return told
        if step.announces:
            self.at_work = step.node_id
            return [*told, self._executing(step.node_id)]
        return [*told, frames.progress(self.prompt_id, step)]

    def _tell_output(self, news: Finished) -> list[Frame]:
        event = news.event
        permitted = self._permitted.pop(event.order, None)
        if permitted is None:
            return []
        return [*self._announce(event.node_id, event), *permitted]

    def _executing(self, node_id: str) -> Frame:
        known = self._nodes.get(node_id)
        display = known.display_node if known else ""
        return frames.executing(self.prompt_id, node_id, display)

    def _let_go(self) -> None:
        """Forget expanded nodes that are done, the first first: a loop may make thousands."""
        if len(self._nodes) <= NODES_TOLD_MAX:
            return
        over = (
            node_id
            for node_id, step in self._nodes.items()
            if step.parent_node and step.state != "running"
        )
        forgotten = next(over, None)
        if forgotten is not None:
            del self._nodes[forgotten]

    def _announce(self, node_id: str, news: Progress | NodeFinished | NodeBlocked) -> list[Frame]:
        """Make up for an announcement that was lost; cached nodes are never announced."""
        over = isinstance(news, NodeBlocked)
        if isinstance(news, Progress):
            over = news.state != "running"
        if over or node_id in self._nodes or node_id in self._cached:
            return []
        total = news.total if isinstance(news, Progress) else 1
        self._nodes[node_id] = Progress(
            prompt_id=self.prompt_id,
            attempt=self.attempt,
            order=0,
            node_id=node_id,
            state="running",
            total=total,
            announces=True,
            **_place(news),
        )
        self.at_work = node_id
        return [*self._state(), self._executing(node_id)]

    def _state(self) -> list[Frame]:
        """Tell how far every node is, or owe it until its time comes."""
        self._owes_state = len(self._nodes) > STATE_NODES and self._now < self._state_due
        if self._owes_state:
            return []
        self._state_due = self._now + STATE_SECONDS
        return [frames.progress_state(self.prompt_id, self._nodes)]

    def _ready_late(self) -> list[Frame]:
        due = [news for news in self._late if not self._forbidden(news)]
        self._late = [news for news in self._late if self._forbidden(news)]
        return [frame for news in due for frame in self._tell_output(news)]

    def _forbidden(self, news: News) -> bool:
        """Say whether it is not its turn in the log yet."""
        return isinstance(news, Started | Finished) and order_of(news) not in self._permitted

    def _crowded_out(self, news: News) -> bool:
        return len(self._held) >= HELD_MAX and isinstance(news, Progress) and not news.announces


def _place(news: Progress | NodeFinished | NodeBlocked) -> dict[str, str]:
    if isinstance(news, NodeBlocked):
        return {}
    return {
        "display_node": news.display_node,
        "parent_node": news.parent_node,
        "real_node": news.real_node,
    }
