"""One open prompt as the gateway remembers it between submission and end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from libs.events.base import Event, Sealed
from libs.events.envelope import Recorded
from libs.events.execution import ExecutionFailed, ExecutionInterrupted, ExecutionStarted
from libs.events.moderation import OutputBlocked
from libs.events.prompt import CancelRequested, PromptSubmitted
from libs.events.run import LeaseExpired, LeaseGranted, RunEnded, RunQueued, RunRefused
from libs.events.verdict import PromptRejected, PromptValidated

# `owner` is the pair of tenant and user: nobody sees another owner's prompts.
Owner = tuple[str, str]


@dataclass(frozen=True)
class Story:
    """Everything that a queue entry, an answer to a POST or a terminal frame is made from."""

    submitted: PromptSubmitted
    tenant: str
    submitted_at: datetime
    validated: PromptValidated | None = None
    rejected: PromptRejected | None = None
    refused: RunRefused | None = None
    queued: RunQueued | None = None
    queued_at: datetime | None = None
    attempt: int = 0
    leased_at: datetime | None = None
    started: bool = False
    cancelling: bool = False
    failed: ExecutionFailed | None = None
    interrupted: ExecutionInterrupted | None = None
    blocked: tuple[OutputBlocked, ...] = field(default=())
    ended: RunEnded | None = None
    ended_at: datetime | None = None
    ended_seq: int = 0

    @property
    def prompt_id(self) -> str:
        """Return the prompt's id."""
        return self.submitted.prompt_id

    @property
    def owner(self) -> Owner:
        """Return whose it is."""
        return (self.tenant, self.submitted.user_id)

    @property
    def running(self) -> bool:
        """Say whether a worker holds its lease."""
        return self.leased_at is not None

    @property
    def number(self) -> float:
        """Return the place in the line as ComfyUI numbers it: lower goes first."""
        if self.queued is None:
            return 0
        if self.submitted.priority is not None:
            return self.submitted.priority
        return -self.queued.number if self.submitted.front else self.queued.number

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the output nodes that are executed."""
        return self.validated.outputs if self.validated else ()

    @property
    def node_errors(self) -> Sealed | None:
        """Return the sealed errors of outputs that are skipped."""
        return self.validated.node_errors if self.validated else None


def begin(recorded: Recorded[PromptSubmitted]) -> Story:
    """Return the story of a prompt that was just handed in."""
    return Story(recorded.event, recorded.tenant, recorded.time)


def evolve(story: Story, recorded: Recorded[Event]) -> Story:  # noqa: C901, PLR0911
    """Return the story after one more event of the same prompt."""
    match recorded.event:
        case PromptValidated() as event:
            return replace(story, validated=event)
        case PromptRejected() as event:
            return replace(story, rejected=event)
        case CancelRequested():
            return replace(story, cancelling=True)
        case RunRefused() as event:
            return replace(story, refused=event)
        case RunQueued() as event:
            return replace(story, queued=event, queued_at=recorded.time)
        case LeaseGranted() as event:
            return replace(
                story,
                attempt=event.attempt,
                leased_at=recorded.time,
                started=False,
                failed=None,
                interrupted=None,
                blocked=(),
            )
        case LeaseExpired():
            return replace(story, leased_at=None)
        case ExecutionStarted(attempt=story.attempt):
            return replace(story, started=True)
        case ExecutionFailed(attempt=story.attempt) as event:
            return replace(story, failed=event)
        case ExecutionInterrupted(attempt=story.attempt) as event:
            return replace(story, interrupted=event)
        case OutputBlocked(attempt=story.attempt) as event:
            return replace(story, blocked=(*story.blocked, event))
        case RunEnded() as event:
            return replace(story, ended=event, ended_at=recorded.time, ended_seq=recorded.seq)
    return story
