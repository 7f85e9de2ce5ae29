"""What the scheduler counts: who waits, how long, and how runs and leases end."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from libs.events.base import Event
from libs.events.envelope import Recorded
from libs.events.run import LeaseExpired, LeaseGranted, RunEnded, RunQueued, RunRefused
from libs.telemetry.measures import WAIT_SECONDS
from services.scheduler.domain.matching import HEAD_START_SECONDS, Waiting
from services.scheduler.domain.story import Story

LEADING: Final = Gauge("studio_scheduler_leading", "1 in the scheduler that acts, 0 in a standby.")
WAITING: Final = Gauge(
    "studio_scheduler_waiting_runs", "Runs that wait for a worker, by tier.", ["tier"]
)
OLDEST: Final = Gauge(
    "studio_scheduler_oldest_wait_seconds", "How long the oldest of them waits, by tier.", ["tier"]
)
LEASED_RUNS: Final = Gauge("studio_scheduler_leased_runs", "Runs that a worker executes now.")
QUEUED: Final = Histogram(
    "studio_scheduler_queued_seconds",
    "Time from the queue to a lease, by tier.",
    ["tier"],
    buckets=WAIT_SECONDS,
)
LEASED: Final = Histogram(
    "studio_scheduler_leased_seconds",
    "Time from the last lease to the end of the run, by outcome.",
    ["outcome"],
    buckets=WAIT_SECONDS,
)
ACCEPTED: Final = Counter("studio_scheduler_queued_total", "Runs that were queued.", ["tier"])
REFUSED: Final = Counter(
    "studio_scheduler_refused_total", "Prompts that were refused, by reason.", ["reason"]
)
GRANTED: Final = Counter("studio_scheduler_leases_granted_total", "Leases that were granted.")
LOST: Final = Counter(
    "studio_scheduler_leases_lost_total",
    "Leases that ended before their run, by cause.",
    ["cause"],
)
ENDED: Final = Counter("studio_scheduler_ended_total", "Runs that ended, by outcome.", ["outcome"])

CAUSES: Final = (
    ("silent", "silent"),
    ("stopped", "stopped"),
    ("replaced", "replaced"),
    ("ran out", "ran_out"),
    ("handed", "handed_back"),
)


def count(story: Story, recorded: Recorded[Event]) -> None:
    """Count what was written for `story`, as it was before."""
    match recorded.event:
        case RunQueued(tier=tier):
            ACCEPTED.labels(_tier(tier)).inc()
        case RunRefused(code=code):
            REFUSED.labels(code).inc()
        case LeaseGranted():
            GRANTED.inc()
            if story.queued_at and story.submitted:
                waited = recorded.time - story.queued_at
                QUEUED.labels(_tier(story.submitted.tier)).observe(max(0, waited.total_seconds()))
        case LeaseExpired(cause=cause):
            LOST.labels(cause_of(cause)).inc()
        case RunEnded(outcome=outcome):
            ENDED.labels(outcome).inc()
            if story.leased_at:
                took = recorded.time - story.leased_at
                LEASED.labels(outcome).observe(max(0, took.total_seconds()))


def look_at(room: Iterable[Waiting], leased: int, now: datetime) -> None:
    """Show who waits now."""
    depth = dict.fromkeys(HEAD_START_SECONDS, 0)
    oldest = dict.fromkeys(HEAD_START_SECONDS, now)
    for waiting in room:
        tier = _tier(waiting.tier)
        depth[tier] += 1
        oldest[tier] = min(oldest[tier], waiting.since)
    for tier in HEAD_START_SECONDS:
        WAITING.labels(tier).set(depth[tier])
        OLDEST.labels(tier).set((now - oldest[tier]).total_seconds())
    LEASED_RUNS.set(leased)


def lead(*, leading: bool, now: datetime) -> None:
    """Show who acts; a standby shows no queue, or two would add up."""
    LEADING.set(int(leading))
    if not leading:
        look_at((), 0, now)


def cause_of(words: str) -> str:
    """Return the short name of why a lease was lost."""
    return next((name for sign, name in CAUSES if sign in words), "failed")


def _tier(name: str) -> str:
    return name if name in HEAD_START_SECONDS else "free"
