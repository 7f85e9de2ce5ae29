"""From events and signals to the frames of the clients whose prompts they are about."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from libs.core.jsonvalue import JsonObject
from libs.events.base import Event, PromptKey
from libs.events.envelope import Recorded
from libs.events.execution import (
    ExecutionFailed,
    ExecutionFinished,
    ExecutionInterrupted,
    ExecutionStarted,
    NodeBlocked,
    NodeFinished,
)
from libs.events.moderation import OutputReleased
from libs.events.run import RunEnded
from libs.events.signals import Progress
from services.gateway.domain.frames import Frame
from services.gateway.domain.lifecycle import Began, Lifecycle, Over, Placed, place_of
from services.gateway.domain.sequence import Finished, Passed, Sequence, Started
from services.gateway.domain.story import Owner, Story
from services.gateway.hub import Hub
from services.gateway.rendering import UNSEAL_SECONDS, Rendering, frames_of, sealed_in
from services.gateway.sending import Sending

# Whose frames are told one behind the other: a client's, or a prompt's that names no client.
LaneKey = tuple[Owner, str, str]
NONE: Final[frozenset[str]] = frozenset()


@dataclass
class Pending:
    """A moment whose turn has not come; `opened` is None while something in it is sealed."""

    story: Story
    placed: Placed
    sequence: Sequence | None
    opened: JsonObject | None = None
    opening: asyncio.Task[None] | None = None


@dataclass
class Telling:
    """What is certain is told to each client in the order of the log, the rest where it fits.

    One lane of moments per client, one sequencer per attempt; `clock` only grows, in seconds.
    What shows a file or an end waits until the recorder has committed it; `on_end` is called
    with the last frames when an end has its turn.
    """

    hub: Hub
    rendering: Rendering
    wait_seconds: float
    clock: Callable[[], float]
    sending: Sending | None = None
    on_end: Callable[[Story, list[Frame]], None] = field(default=lambda _story, _told: None)
    heard_seq: int = 0
    recorded_seq: int = 0
    _lives: dict[PromptKey, Lifecycle] = field(default_factory=dict)
    _sequences: dict[PromptKey, Sequence] = field(default_factory=dict)
    _lanes: dict[LaneKey, deque[Pending]] = field(default_factory=dict)
    _releases: deque[tuple[int, Story, OutputReleased]] = field(default_factory=deque)
    _sendings: dict[PromptKey, set[asyncio.Task[None]]] = field(default_factory=dict)

    def hear(self, story: Story, recorded: Recorded[Event]) -> None:
        """Take an event of a prompt in and tell what became ready."""
        attempt = getattr(recorded.event, "attempt", 0)
        over = isinstance(recorded.event, RunEnded)
        if not over and (not isinstance(attempt, int) or attempt < 1):
            return
        sequence = self._sequence(story, attempt) if attempt else None
        if sequence is not None:
            self._follow(story, sequence, recorded)
        for placed in self._lives.setdefault(_key(story), Lifecycle()).hear(story, recorded):
            pending = Pending(story, placed, sequence)
            self._lanes.setdefault(_lane(story), deque()).append(pending)
            if not isinstance(placed.moment, Over):
                self._open(pending)
        self._tell(story, sequence)

    def step(self, story: Story, progress: Progress) -> None:
        """Take a signal of a run in and tell what became ready."""
        sequence = self._sequence(story, progress.attempt)
        if sequence is not None:
            sequence.hear(progress)
            self._tell(story, sequence)

    def tick(self, story_of: Callable[[str, str], Story | None]) -> None:
        """Give up waiting for signals that are overdue."""
        for (tenant, prompt_id), sequence in list(self._sequences.items()):
            story = story_of(tenant, prompt_id) if sequence.waits() else None
            if story is not None:
                self._tell(story, sequence)
        self._pump_all()

    def recorded(self, seq: int) -> None:
        """Hear how far the recorder has committed, and tell what waited for it."""
        self.recorded_seq = max(self.recorded_seq, seq)
        while self._releases and self._releases[0][0] <= self.recorded_seq:
            _, story, event = self._releases.popleft()
            self._send_picture(story, event)
        self._pump_all()

    def waits(self) -> bool:
        """Say whether something waits for the recorder."""
        return bool(self._lanes or self._releases)

    def catch_up(self, story: Story) -> list[Frame]:
        """Return what tells a late client where its running prompt is."""
        sequence = self._sequences.get(_key(story))
        return sequence.catch_up() if sequence else []

    def reached(self, owner: Owner, client_id: str, prompt_id: str = "") -> int:
        """Return the place up to which a client, or the listeners of a prompt, were told all."""
        lane = self._lanes.get((owner, client_id, "" if client_id else prompt_id))
        return (lane[0].placed.place if lane else place_of(self.heard_seq + 1)) - 1

    def progress(self, story: Story) -> tuple[Mapping[str, Progress], frozenset[str], str | None]:
        """Return how far each node is, which are cached, and which one is at work."""
        sequence = self._sequences.get(_key(story))
        return (sequence.steps, sequence.cached, sequence.at_work) if sequence else ({}, NONE, None)

    def moments(self, story: Story) -> list[Placed]:
        """Return the moments of an open prompt, told or not."""
        life = self._lives.get(_key(story))
        return list(life.placed) if life else []

    def _follow(self, story: Story, sequence: Sequence, recorded: Recorded[Event]) -> None:
        """Give an event to its sequencer, so that signals find their place around it."""
        match event := recorded.event:
            case ExecutionStarted():
                sequence.hear(Started(event))
            case NodeFinished():
                sequence.hear(Finished(event))
                if self.sending is not None:
                    self.sending.hear(_key(story), event)
            case NodeBlocked():
                sequence.hear(Finished(event))
            case OutputReleased() if self.sending is not None:
                self._releases.append((recorded.seq, story, event))
            case ExecutionFinished() | ExecutionFailed() | ExecutionInterrupted():
                sequence.hear(Passed(event.order))
            case RunEnded():
                sequence.hurry()

    def _sequence(self, story: Story, attempt: int) -> Sequence | None:
        """Return the sequencer of that attempt; None for an attempt that is past."""
        sequence = self._sequences.get(_key(story))
        if sequence is not None and sequence.attempt > attempt:
            return None
        if sequence is None or sequence.attempt < attempt:
            if attempt < story.attempt:
                return None
            if sequence is not None:
                sequence.hurry()
            sequence = Sequence(story.prompt_id, attempt, self.wait_seconds)
            self._sequences[_key(story)] = sequence
        return sequence

    def _tell(self, story: Story, sequence: Sequence | None) -> None:
        self._pump(_lane(story))
        if sequence is not None:
            self._say(story, sequence.ready(self.clock()))

    def _pump_all(self) -> None:
        for key in list(self._lanes):
            self._pump(key)

    def _pump(self, key: LaneKey) -> None:
        """Tell the moments of a lane whose turn has come."""
        lane = self._lanes.get(key)
        while lane and self._had_its_turn(lane[0]):
            lane.popleft()
        if lane is not None and not lane:
            del self._lanes[key]

    def _had_its_turn(self, pending: Pending) -> bool:
        """Tell a moment if nothing keeps it; say whether it is told."""
        moment, sequence = pending.placed.moment, pending.sequence
        if not isinstance(moment, Began) and pending.placed.seq > self.recorded_seq:
            return False
        self._open(pending)
        if pending.opened is None:
            return False
        if isinstance(moment, Over):
            self._finish(pending.story, pending.placed, pending.opened)
            return True
        if sequence is None:
            return True
        order = moment.event.order
        if not sequence.has_told(order):
            prompt_id = pending.story.prompt_id
            sequence.permit(order, frames_of(prompt_id, pending.placed, pending.opened))
            self._say(pending.story, sequence.ready(self.clock()))
        return sequence.has_told(order)

    def _finish(self, story: Story, placed: Placed, detail: JsonObject) -> None:
        key = _key(story)
        self._lives.pop(key, None)
        self._sendings.pop(key, None)
        if self.sending is not None:
            self.sending.forget(key)
        sequence = self._sequences.pop(key, None)
        told = sequence.flush() if sequence else []
        at_work = sequence.at_work if sequence else None
        self.on_end(story, [*told, *frames_of(story.prompt_id, placed, detail, at_work)])

    def _say(self, story: Story, told: list[Frame]) -> None:
        if told:
            self.hub.tell(story.owner, story.submitted.client_id, told)
            self.hub.tell_listeners(_key(story), told)

    def _send_picture(self, story: Story, event: OutputReleased) -> None:
        task = self.sending.send(_key(story), story, event) if self.sending else None
        if task is not None:
            tasks = self._sendings.setdefault(_key(story), set())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def _open(self, pending: Pending) -> None:
        """See to it that everything in a moment is open; an end waits for pictures on their way."""
        if pending.opened is not None or pending.opening is not None:
            return
        over = isinstance(pending.placed.moment, Over)
        sendings = self._sendings.get(_key(pending.story), set()) if over else set()
        if sealed_in(pending.placed) is None and not sendings:
            pending.opened = {}
        else:
            pending.opening = asyncio.ensure_future(self._opened_later(pending, set(sendings)))

    async def _opened_later(self, pending: Pending, sendings: set[asyncio.Task[None]]) -> None:
        if sendings:
            await asyncio.wait(sendings, timeout=UNSEAL_SECONDS)
        pending.opened = await self.rendering.opened(pending.story.tenant, pending.placed)
        self._pump(_lane(pending.story))


def _key(story: Story) -> PromptKey:
    return (story.tenant, story.prompt_id)


def _lane(story: Story) -> LaneKey:
    client_id = story.submitted.client_id
    return (story.owner, client_id, "" if client_id else story.prompt_id)
