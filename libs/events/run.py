"""A run: a prompt's wait, its leases and its one end, written by the scheduler."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from libs.events.base import PromptScoped

Outcome = Literal["succeeded", "failed", "cancelled", "blocked", "expired"]


class RunEvent(PromptScoped):
    """Owned by the scheduler."""

    owner = "scheduler"
    kind = "run"


class RunQueued(RunEvent):
    """The prompt was accepted and waits; `number` only ever grows."""

    number: int
    tier: str
    account: str


class RunRefused(RunEvent):
    """The prompt was not accepted; it never was a run and is never charged."""

    status: int
    code: str
    message: str
    retry_after_seconds: int | None = None


class LeaseGranted(RunEvent):
    """One worker, and no other, may execute the run until it falls silent or `expires_at`."""

    worker_id: str
    attempt: int
    expires_at: datetime


class LeaseExpired(RunEvent):
    """The worker fell silent or gave the run back; the run waits again."""

    worker_id: str
    attempt: int
    cause: str


class RunEnded(RunEvent):
    """The one end of an accepted prompt."""

    outcome: Outcome
    attempt: int
    reason: str = ""


RunEvents = RunQueued | RunRefused | LeaseGranted | LeaseExpired | RunEnded
