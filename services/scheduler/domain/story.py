"""The whole story of one prompt, folded from everybody's events, in whatever order they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal, TypeAlias

from libs.events.base import Event, PromptKey
from libs.events.execution import (
    ExecutionFailed,
    ExecutionFinished,
    ExecutionInterrupted,
    ExecutionStarted,
    NodeFinished,
    failed_at,
)
from libs.events.ledger import CreditsHeld, CreditsRefused
from libs.events.moderation import OutputBlocked, OutputReleased, PromptBlocked, PromptCleared
from libs.events.prompt import CancelRequested, PromptSubmitted, PromptWithdrawn
from libs.events.run import LeaseExpired, LeaseGranted, RunEnded, RunQueued, RunRefused
from libs.events.verdict import PromptRejected, PromptValidated
from services.scheduler.domain import run
from services.scheduler.domain.run import Run

Place: TypeAlias = tuple[str, int]
News: TypeAlias = Literal["none", "running", "finished", "failed", "interrupted"]


@dataclass(frozen=True)
class Attempt:
    """What the worker and moderation said of one attempt.

    `expected` is how many outputs the attempt made; it is known when the attempt is over.
    """

    news: News = "none"
    expected: int | None = None
    outputs: frozenset[Place] = frozenset()
    released: frozenset[Place] = frozenset()
    blocked: Mapping[Place, str] = field(default_factory=lambda: MappingProxyType({}))
    failure: str = ""
    retryable: bool = False

    @property
    def judged(self) -> bool:
        """Say whether moderation has answered for every output."""
        return len(self.released) + len(self.blocked) >= self._outputs_made

    @property
    def _outputs_made(self) -> int:
        return len(self.outputs) if self.expected is None else self.expected


@dataclass(frozen=True)
class Story:
    """One prompt, seen by the scheduler; `run_seq` is the last own event that is folded in."""

    prompt_id: str
    tenant: str
    submitted: PromptSubmitted | None = None
    verdict: PromptValidated | PromptRejected | None = None
    clearance: PromptCleared | PromptBlocked | None = None
    money: CreditsHeld | CreditsRefused | None = None
    withdrawn: bool = False
    cancel_at: datetime | None = None
    attempts: Mapping[int, Attempt] = field(default_factory=lambda: MappingProxyType({}))
    run: Run = field(default_factory=Run)
    run_seq: int = 0
    queued_at: datetime | None = None
    leased_at: datetime | None = None

    @property
    def key(self) -> PromptKey:
        """Return what it is known by."""
        return (self.tenant, self.prompt_id)

    @property
    def current(self) -> Attempt:
        """Return what is known of the attempt that holds the lease."""
        return self.attempts.get(self.run.attempt, Attempt())

    @property
    def executing(self) -> bool:
        """Say whether a worker is, as far as is known, at work on the run."""
        return self.run.phase == "leased" and self.current.news in ("none", "running")


def evolve(story: Story, event: Event, seq: int, time: datetime) -> Story:
    """Return the story after one event; the same event again changes nothing."""
    match event:
        case PromptSubmitted():
            return replace(story, submitted=event)
        case PromptWithdrawn():
            return replace(story, withdrawn=True, cancel_at=story.cancel_at or time)
        case CancelRequested():
            return replace(story, cancel_at=story.cancel_at or time)
        case RunQueued() | RunRefused() | LeaseGranted() | LeaseExpired() | RunEnded():
            return _own(story, event, seq, time)
    return _attempted(_answered(story, event), event)


def _answered(story: Story, event: Event) -> Story:
    match event:
        case PromptValidated() | PromptRejected():
            return replace(story, verdict=event)
        case PromptCleared() | PromptBlocked():
            return replace(story, clearance=event)
        case CreditsHeld() | CreditsRefused():
            return replace(story, money=event)
    return story


def _own(story: Story, event: Event, seq: int, time: datetime) -> Story:
    if seq <= story.run_seq:
        return story
    story = replace(story, run=run.evolve(story.run, event), run_seq=seq)
    if isinstance(event, RunQueued):
        return replace(story, queued_at=time)
    if isinstance(event, LeaseGranted):
        return replace(story, leased_at=time)
    return story


def _attempted(story: Story, event: Event) -> Story:
    number = getattr(event, "attempt", None)
    if not isinstance(number, int):
        return story
    before = story.attempts.get(number, Attempt())
    after = _news(before, event)
    if after == before:
        return story
    return replace(story, attempts=MappingProxyType({**story.attempts, number: after}))


def _news(attempt: Attempt, event: Event) -> Attempt:
    match event:
        case ExecutionStarted() if attempt.news == "none":
            return replace(attempt, news="running")
        case ExecutionFinished():
            return replace(attempt, news="finished", expected=event.outputs)
        case ExecutionFailed():
            failure = failed_at(event.exception_type, event.node_id, event.node_type)
            return replace(attempt, news="failed", failure=failure, retryable=event.retryable)
        case ExecutionInterrupted():
            return replace(attempt, news="interrupted")
    return _outputs(attempt, event)


def _outputs(attempt: Attempt, event: Event) -> Attempt:
    match event:
        case NodeFinished():
            made = {(event.node_id, output.index) for output in event.outputs}
            return replace(attempt, outputs=attempt.outputs | made)
        case OutputReleased():
            return replace(attempt, released=attempt.released | {(event.node_id, event.index)})
        case OutputBlocked():
            blocked = {**attempt.blocked, (event.node_id, event.index): event.category}
            return replace(attempt, blocked=MappingProxyType(blocked))
    return attempt
