"""Whether a lease still is this worker's, as the run's own events tell it."""

from __future__ import annotations

from collections.abc import Iterable

from libs.events.base import Event
from libs.events.run import LeaseExpired, LeaseGranted, RunEnded


def still_held(events: Iterable[Event], worker_id: str, attempt: int) -> bool:
    """Say whether attempt `attempt` is leased to `worker_id` after all events of the run."""
    holder: tuple[str, int] | None = None
    for event in events:
        match event:
            case LeaseGranted():
                holder = (event.worker_id, event.attempt)
            case LeaseExpired() | RunEnded():
                holder = None
    return holder == (worker_id, attempt)
