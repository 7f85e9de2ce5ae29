"""From events and signals to the frames of the clients whose prompts they are about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from libs.core.errors import StudioError
from libs.core.jsonvalue import JsonObject
from libs.events.base import Event, Sealed
from libs.events.envelope import Recorded
from libs.events.execution import (
    ExecutionFailed,
    ExecutionFinished,
    ExecutionInterrupted,
    ExecutionStarted,
    NodeFinished,
)
from libs.events.moderation import OutputBlocked, OutputReleased
from libs.events.run import LeaseGranted
from libs.events.signals import Progress
from libs.sealed.base import Vault
from services.gateway.domain.ending import last_frames
from services.gateway.domain.frames import Frame
from services.gateway.domain.queue import Key
from services.gateway.domain.sequence import Passed, Sequence, Shown, Started
from services.gateway.domain.story import Story
from services.gateway.hub import Hub
from services.gateway.sending import Sending

UNSEAL_SECONDS = 2.0

log = structlog.get_logger(__name__)


@dataclass
class Telling:
    """One sequencer per running prompt; `clock` only grows, in seconds."""

    hub: Hub
    vault: Vault
    wait_seconds: float
    clock: Callable[[], float]
    sending: Sending | None = None
    _sequences: dict[Key, Sequence] = field(default_factory=dict)
    _unsealing: dict[Key, set[asyncio.Task[None]]] = field(default_factory=dict)

    def hear(self, story: Story, recorded: Recorded[Event]) -> None:
        """Take an event of a run in and tell what became ready."""
        event = recorded.event
        attempt = getattr(event, "attempt", 0)
        if not isinstance(attempt, int) or attempt < 1:
            return
        sequence = self._sequence(story, attempt)
        if sequence is None or isinstance(event, LeaseGranted):
            return
        match event:
            case ExecutionStarted():
                sequence.hear(Started(event, epoch_ms(recorded), recorded.seq))
            case NodeFinished():
                sequence.hear(Shown(event, recorded.seq, None if event.ui else {}))
                self._unseal(story, sequence, event)
                if self.sending is not None:
                    self.sending.hear(_key(story), event)
            case OutputReleased() | OutputBlocked():
                sequence.judge(event)
                self._send_picture(story, event)
            case ExecutionFinished() | ExecutionFailed() | ExecutionInterrupted():
                sequence.hear(Passed(event.order))
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

    def catch_up(self, story: Story) -> list[Frame]:
        """Return what tells a late client where its running prompt is."""
        sequence = self._sequences.get(_key(story))
        return sequence.catch_up() if sequence else []

    def needs_time(self, story: Story) -> bool:
        """Say whether the end cannot be told before something is unsealed or sent."""
        return story.failed is not None or bool(self._unsealing.get(_key(story)))

    async def detail(self, story: Story) -> JsonObject:
        """Wait, within a bound, for what is being unsealed; return the account of a failure."""
        waiting = self._unsealing.get(_key(story), set())
        if waiting:
            await asyncio.wait(waiting, timeout=UNSEAL_SECONDS)
        failed = story.failed
        return await self._open(story.tenant, failed.detail) if failed else {}

    def finish(self, story: Story, detail: JsonObject) -> None:
        """Tell all that is left and how it ended, up to but without the status."""
        key = _key(story)
        sequence = self._sequences.pop(key, None)
        for task in self._unsealing.pop(key, set()):
            task.cancel()
        if self.sending is not None:
            self.sending.forget(key)
        told = sequence.flush() if sequence else []
        at_work = sequence.at_work if sequence else None
        ended_ms = int(story.ended_at.timestamp() * 1000) if story.ended_at else 0
        self._send(story, [*told, *last_frames(story, ended_ms, detail, at_work)])

    def _sequence(self, story: Story, attempt: int) -> Sequence | None:
        """Return the sequencer of that attempt; None for an attempt that is past."""
        sequence = self._sequences.get(_key(story))
        if sequence is not None and sequence.attempt > attempt:
            return None
        if sequence is None or sequence.attempt < attempt:
            if attempt < story.attempt:
                return None
            sequence = Sequence(story.prompt_id, attempt, self.wait_seconds)
            self._sequences[_key(story)] = sequence
        return sequence

    def _tell(self, story: Story, sequence: Sequence) -> None:
        self._send(story, sequence.ready(self.clock()))

    def _send(self, story: Story, frames: list[Frame]) -> None:
        self.hub.tell(story.owner, story.submitted.client_id, frames)

    def _send_picture(self, story: Story, event: OutputReleased | OutputBlocked) -> None:
        if self.sending is None or isinstance(event, OutputBlocked):
            return
        task = self.sending.send(_key(story), story, event)
        if task is not None:
            self._await(story, task)

    def _await(self, story: Story, task: asyncio.Task[None]) -> None:
        """Let the end wait for something, within its bound."""
        tasks = self._unsealing.setdefault(_key(story), set())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def _unseal(self, story: Story, sequence: Sequence, event: NodeFinished) -> None:
        if event.ui is None:
            return
        work = self._give_ui(story, sequence, event, event.ui)
        self._await(story, asyncio.ensure_future(work))

    async def _give_ui(
        self, story: Story, sequence: Sequence, event: NodeFinished, sealed: Sealed
    ) -> None:
        sequence.unseal(event.order, await self._open(story.tenant, sealed))
        self._tell(story, sequence)

    async def _open(self, tenant: str, sealed: Sealed) -> JsonObject:
        """Unseal, within a bound; what cannot be read is told without its content."""
        try:
            async with asyncio.timeout(UNSEAL_SECONDS):
                value = await self.vault.open(tenant, sealed)
        except (StudioError, TimeoutError) as error:
            log.warning("not_unsealed", tenant=tenant, error=repr(error))
            return {}
        return value if isinstance(value, dict) else {}


def epoch_ms(recorded: Recorded[Event]) -> int:
    """Return when an event was written, as clients of ComfyUI read times."""
    return int(recorded.time.timestamp() * 1000)


def _key(story: Story) -> Key:
    return (story.tenant, story.prompt_id)
