"""A run: one prompt's wait for a worker, its leases, and its one end. The module is the decider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, TypeAlias, assert_never

from libs.events.base import Event
from libs.events.run import (
    LeaseExpired,
    LeaseGranted,
    Outcome,
    RunEnded,
    RunQueued,
    RunRefused,
)

Phase: TypeAlias = Literal["new", "queued", "leased", "refused", "ended"]

# Only a worker that holds the lease can have made what these two speak of.
_NEEDS_LEASE: frozenset[Outcome] = frozenset({"succeeded", "blocked"})


@dataclass(frozen=True)
class Run:
    """What the rules below need to remember, and nothing more."""

    phase: Phase = "new"
    number: int = 0
    attempt: int = 0
    worker_id: str = ""
    expires_at: datetime | None = None
    outcome: Outcome | None = None

    @property
    def open(self) -> bool:
        """Say whether the run is accepted and has not ended."""
        return self.phase in ("queued", "leased")

    @property
    def over(self) -> bool:
        """Say whether nothing can happen to the run any more."""
        return self.phase in ("refused", "ended")


@dataclass(frozen=True)
class QueueRun:
    """Accept the prompt."""

    prompt_id: str
    number: int
    tier: str
    account: str


@dataclass(frozen=True)
class RefuseRun:
    """Do not accept the prompt."""

    prompt_id: str
    status: int
    code: str
    message: str
    retry_after_seconds: int | None = None


@dataclass(frozen=True)
class GrantLease:
    """Let one worker execute the run, for `term_seconds` at the longest."""

    prompt_id: str
    worker_id: str
    now: datetime
    term_seconds: float


@dataclass(frozen=True)
class ExpireLease:
    """Take attempt `attempt` away from its worker; the last attempt ends the run."""

    prompt_id: str
    attempt: int
    cause: str
    attempts_max: int


@dataclass(frozen=True)
class EndRun:
    """End the run, as far as attempt `attempt` is still what it stands at."""

    prompt_id: str
    outcome: Outcome
    reason: str
    attempt: int


@dataclass(frozen=True)
class GiveUpRun:
    """A message about the prompt can never be handled: close whatever is open of it."""

    prompt_id: str
    reason: str


Command: TypeAlias = QueueRun | RefuseRun | GrantLease | ExpireLease | EndRun | GiveUpRun


def initial() -> Run:
    """Return a run of which nothing is known."""
    return Run()


def decide(command: Command, state: Run) -> Sequence[Event]:
    """Return what happens; nothing for old news."""
    match command:
        case QueueRun():
            return _queue(command, state)
        case RefuseRun():
            return _refuse(command, state)
        case GrantLease():
            return _grant(command, state)
        case ExpireLease():
            return _expire(command, state)
        case EndRun():
            return _end(command, state)
        case GiveUpRun():
            return _give_up(command, state)
    assert_never(command)


def evolve(state: Run, event: Event) -> Run:
    """Return the run after one event; events of others change nothing."""
    match event:
        case RunQueued():
            return replace(state, phase="queued", number=event.number)
        case RunRefused():
            return replace(state, phase="refused")
        case LeaseGranted():
            return replace(
                state,
                phase="leased",
                attempt=event.attempt,
                worker_id=event.worker_id,
                expires_at=event.expires_at,
            )
        case LeaseExpired():
            return replace(state, phase="queued", worker_id="", expires_at=None)
        case RunEnded():
            return replace(state, phase="ended", outcome=event.outcome)
    return state


def used_up(events: Sequence[Event]) -> bool:
    """Say whether the run ended because its last attempt was lost like all before it."""
    if len(events) < 2:  # noqa: PLR2004
        return False
    lost, ended = events[-2:]
    return (
        isinstance(lost, LeaseExpired)
        and isinstance(ended, RunEnded)
        and ended.outcome == "failed"
        and ended.reason.endswith(lost.cause)
        and ended.attempt == lost.attempt
    )


def _queue(command: QueueRun, state: Run) -> list[Event]:
    if state.phase != "new":
        return []
    return [
        RunQueued(
            prompt_id=command.prompt_id,
            number=command.number,
            tier=command.tier,
            account=command.account,
        )
    ]


def _refuse(command: RefuseRun, state: Run) -> list[Event]:
    if state.phase != "new":
        return []
    return [
        RunRefused(
            prompt_id=command.prompt_id,
            status=command.status,
            code=command.code,
            message=command.message,
            retry_after_seconds=command.retry_after_seconds,
        )
    ]


def _grant(command: GrantLease, state: Run) -> list[Event]:
    if state.phase != "queued":
        return []
    return [
        LeaseGranted(
            prompt_id=command.prompt_id,
            worker_id=command.worker_id,
            attempt=state.attempt + 1,
            expires_at=command.now + timedelta(seconds=command.term_seconds),
        )
    ]


def _expire(command: ExpireLease, state: Run) -> list[Event]:
    if state.phase != "leased" or state.attempt != command.attempt:
        return []
    expired = LeaseExpired(
        prompt_id=command.prompt_id,
        worker_id=state.worker_id,
        attempt=state.attempt,
        cause=command.cause,
    )
    if state.attempt < command.attempts_max:
        return [expired]
    reason = f"given up after {state.attempt} attempts: {command.cause}"
    return [expired, _ended(command.prompt_id, "failed", reason, state.attempt)]


def _end(command: EndRun, state: Run) -> list[Event]:
    if not state.open or state.attempt != command.attempt:
        return []
    if command.outcome in _NEEDS_LEASE and state.phase != "leased":
        return []
    return [_ended(command.prompt_id, command.outcome, command.reason, command.attempt)]


def _give_up(command: GiveUpRun, state: Run) -> list[Event]:
    if state.phase == "new":
        refusal = RefuseRun(
            command.prompt_id,
            503,
            "internal",
            "The prompt could not be handled; nothing is charged",
        )
        return _refuse(refusal, state)
    if not state.open:
        return []
    return [_ended(command.prompt_id, "failed", command.reason, state.attempt)]


def _ended(prompt_id: str, outcome: Outcome, reason: str, attempt: int) -> RunEnded:
    return RunEnded(prompt_id=prompt_id, outcome=outcome, attempt=attempt, reason=reason)
