"""What the scheduler does next about one prompt: the story in, one command out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from libs.events.ledger import CreditsHeld, CreditsRefused
from libs.events.moderation import PromptBlocked, PromptCleared
from libs.events.verdict import PromptRejected, PromptValidated
from services.scheduler.domain.run import Command, EndRun, ExpireLease, RefuseRun
from services.scheduler.domain.story import Story


@dataclass(frozen=True)
class Terms:
    """The bounds that decisions keep to."""

    attempts_max: int = 3
    cancel_seconds: float = 10.0
    wait_seconds_max: float = 86_400.0


@dataclass(frozen=True)
class AdmitRun:
    """All three answers are there: the prompt gets the next number and waits."""

    prompt_id: str
    tier: str
    account: str


@dataclass(frozen=True)
class StopWorker:
    """Tell the worker that the lease's owner wants it to stop."""

    worker_id: str
    prompt_id: str
    attempt: int
    reason: str


Decision: TypeAlias = Command | AdmitRun | StopWorker


def next_command(
    story: Story, now: datetime, *, terms: Terms | None = None, worker_lost: str = ""
) -> Decision | None:
    """Return what has to be done now, or None; `worker_lost` says why the lease is void."""
    bounds = terms or Terms()
    match story.run.phase:
        case "new":
            return _admission(story, now)
        case "queued":
            return _waiting(story, now, bounds)
        case "leased":
            return _leased(story, now, bounds, worker_lost)
    return None


def _admission(story: Story, now: datetime) -> Decision | None:
    if story.withdrawn:
        return RefuseRun(story.prompt_id, 503, "withdrawn", "The prompt was withdrawn in time")
    match story.verdict, story.clearance, story.money:
        case PromptRejected(status=status, code=code), _, _:
            return RefuseRun(story.prompt_id, status, code, "The workflow cannot be executed")
        case PromptValidated() as verdict, PromptCleared(), CreditsHeld():
            return _accepted(story, verdict, now)
        # The refusals wait for each other, so that the order of arrival decides nothing.
        case PromptValidated(), PromptBlocked(category=category), CreditsHeld() | CreditsRefused():
            message = f"The text breaks the policy ({category})"
            return RefuseRun(story.prompt_id, 403, "content_policy", message)
        case PromptValidated(), PromptCleared(), CreditsRefused() as refusal:
            return _unpaid(story.prompt_id, refusal)
    return None


def _accepted(story: Story, verdict: PromptValidated, now: datetime) -> Decision:
    answer_by = story.submitted.answer_by if story.submitted else None
    if answer_by is not None and answer_by < now:
        # The caller has been told that nothing comes of it, and cannot ask again.
        message = "The prompt could not be checked in time; nothing is charged"
        return RefuseRun(story.prompt_id, 503, "too_late", message)
    return AdmitRun(story.prompt_id, verdict.tier, verdict.account)


def _unpaid(prompt_id: str, refusal: CreditsRefused) -> RefuseRun:
    match refusal.reason:
        case "balance":
            message = (
                f"The prompt costs {refusal.needed} micro-dollars, {refusal.available} are left"
            )
            return RefuseRun(prompt_id, 402, "insufficient_credits", message)
        case "daily_limit":
            message = f"The daily limit of {refusal.limit} images is reached"
            return RefuseRun(
                prompt_id, 429, "daily_limit", message, refusal.retry_after_seconds or 60
            )
    return RefuseRun(prompt_id, 503, "internal", "The price could not be set aside", 5)


def _waiting(story: Story, now: datetime, terms: Terms) -> Decision | None:
    attempt = story.run.attempt
    if story.withdrawn:
        return EndRun(story.prompt_id, "cancelled", "withdrawn", attempt)
    if story.cancel_at is not None:
        return EndRun(story.prompt_id, "cancelled", "cancelled while waiting", attempt)
    if story.queued_at and _after(story.queued_at, terms.wait_seconds_max) <= now:
        reason = f"no worker was free within {terms.wait_seconds_max:g} seconds"
        return EndRun(story.prompt_id, "expired", reason, attempt)
    return None


def _leased(story: Story, now: datetime, terms: Terms, worker_lost: str) -> Decision | None:
    match story.current.news:
        case "finished":
            return _judged(story)
        case "failed":
            return _failed(story, terms)
        case "interrupted":
            return _interrupted(story, terms)
    if worker_lost:
        return _void(story, worker_lost, terms)
    if story.run.expires_at and story.run.expires_at <= now:
        return _void(story, "the lease ran out", terms)
    return _cancelled(story, now, terms)


def _judged(story: Story) -> Decision | None:
    attempt = story.current
    if not attempt.judged:
        return None
    number = story.run.attempt
    if attempt.blocked:
        category = min(attempt.blocked.values())
        return EndRun(story.prompt_id, "blocked", category, number)
    if story.withdrawn:
        # The caller was told that nothing would be delivered or charged.
        return EndRun(story.prompt_id, "cancelled", "withdrawn", number)
    return EndRun(story.prompt_id, "succeeded", "", number)


def _failed(story: Story, terms: Terms) -> Decision | None:
    attempt = story.current
    if attempt.retryable:
        return _void(story, attempt.failure, terms)
    if not attempt.judged:
        return None
    return EndRun(story.prompt_id, "failed", attempt.failure, story.run.attempt)


def _interrupted(story: Story, terms: Terms) -> Decision | None:
    if not _unwanted(story):
        return _void(story, "the worker handed the run back", terms)
    if not story.current.judged:
        return None
    return EndRun(story.prompt_id, "cancelled", "cancelled while executing", story.run.attempt)


def _cancelled(story: Story, now: datetime, terms: Terms) -> Decision | None:
    if not _unwanted(story):
        return None
    since = max(filter(None, (story.cancel_at, story.leased_at)), default=now)
    if _after(since, terms.cancel_seconds) <= now:
        reason = "cancelled; the worker did not stop in time"
        return EndRun(story.prompt_id, "cancelled", reason, story.run.attempt)
    return StopWorker(story.run.worker_id, story.prompt_id, story.run.attempt, "cancelled")


def _void(story: Story, cause: str, terms: Terms) -> Decision:
    """Take the lease back; a prompt that nobody wants any more ends instead of waiting again."""
    if _unwanted(story):
        reason = f"cancelled; {cause}"
        return EndRun(story.prompt_id, "cancelled", reason, story.run.attempt)
    return ExpireLease(story.prompt_id, story.run.attempt, cause, terms.attempts_max)


def _unwanted(story: Story) -> bool:
    return story.cancel_at is not None


def _after(moment: datetime, seconds: float) -> datetime:
    return moment + timedelta(seconds=seconds)
