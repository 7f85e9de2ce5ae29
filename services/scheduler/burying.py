"""Dead letters, both ways: a run that used up its attempts becomes one, and one ends its prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from libs.bus.base import Bus, DeadLetter
from libs.core.errors import Poisoned, StudioError, Unavailable
from libs.decider import transact
from libs.events.base import Event, subject
from libs.events.envelope import Cause, Recorded
from libs.events.execution import ExecutionFailed
from libs.events.run import RunEnded
from services.scheduler import metrics
from services.scheduler.domain import run
from services.scheduler.domain.board import Board
from services.scheduler.domain.decisions import StopWorker
from services.scheduler.domain.run import GiveUpRun, used_up
from services.scheduler.domain.story import Story

log = structlog.get_logger(__name__)

OURS: Final = "scheduler"
USED_UP: Final = "attempts_used_up"
AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Burying:
    """Every dependency is a field."""

    bus: Bus
    board: Board
    stop: Callable[[str, StopWorker], Awaitable[None]]

    async def on_run_ended(self, recorded: Recorded[RunEnded]) -> None:
        """Set a prompt aside that took every worker down which tried it."""
        ended = recorded.event
        if ended.outcome != "failed":
            return
        journal, tenant = self.bus.journal, recorded.tenant
        said = await journal.load(subject(tenant, RunEnded.kind, ended.prompt_id))
        if not used_up([known.event for known in said.events]):
            return
        made = await journal.load(subject(tenant, ExecutionFailed.kind, ended.prompt_id))
        error = Poisoned(ended.reason, attempts=ended.attempt, **_place(made.events))
        await self.bus.dead_letter(OURS, USED_UP, recorded, error)

    async def bury(self) -> None:
        """End every prompt about which some service gave up, for ever."""
        async for letter in self.bus.dead_letters(durable=OURS):
            # Our own letters tell of runs that have ended.
            while letter.tenant and letter.prompt_id and letter.service != OURS:
                try:
                    await self._end(letter)
                    break
                except Unavailable as error:
                    log.warning("not_buried_yet", prompt_id=letter.prompt_id, error=error.message)
                    await asyncio.sleep(AGAIN_SECONDS)
                except StudioError:
                    log.exception("cannot_be_ended", prompt_id=letter.prompt_id)
                    break

    async def _end(self, letter: DeadLetter) -> None:
        prompt_id, key = letter.prompt_id, (letter.tenant, letter.prompt_id)
        reason = f"{letter.service} could not read or handle a message about the prompt"
        command = GiveUpRun(prompt_id, reason)
        cause = self.board.causes.get(key, Cause(correlation_id=prompt_id))
        story = self.board.stories.get(key)
        if story is None:
            where = subject(letter.tenant, RunEnded.kind, prompt_id)
            written = await transact(self.bus.journal, run, where, command, cause)
        elif events := run.decide(command, story.run):
            # What was read so far, not the journal: that may hold the very bytes nobody can read.
            written = await self.bus.journal.append(story.tenant, events, story.run_seq, cause)
        else:
            return
        for recorded in written:
            metrics.count(story or Story(prompt_id, letter.tenant), recorded)
            self.board.apply(recorded)
        if story is not None and story.executing:
            held = story.run
            stop = StopWorker(held.worker_id, prompt_id, held.attempt, "the run has ended")
            await self.stop(story.tenant, stop)
        log.error("gave_up", prompt_id=prompt_id, service=letter.service)


def _place(events: Sequence[Recorded[Event]]) -> dict[str, str]:
    """Return where the last failure that a worker could still tell of happened."""
    for recorded in reversed(events):
        if isinstance(recorded.event, ExecutionFailed):
            return {"node_id": recorded.event.node_id, "node_type": recorded.event.node_type}
    return {}
