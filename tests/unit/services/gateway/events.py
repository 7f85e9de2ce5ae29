"""Events of a prompt's story, as they lie on the stream."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.events.base import Event, Sealed
from libs.events.envelope import Recorded
from libs.events.prompt import PromptSubmitted
from libs.events.run import LeaseGranted, RunQueued

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
_seqs = itertools.count(1)


def recorded(event: Event, tenant: str = "acme", seq: int = 0) -> Recorded[Any]:
    """Return an event as a reader of the stream gets it."""
    seq = seq or next(_seqs)
    return Recorded(
        event=event,
        event_id=f"e{seq}",
        seq=seq,
        subject="",
        tenant=tenant,
        time=NOON + timedelta(seconds=seq),
        source="",
        causation_id="",
        correlation_id=event.correlation_id,
        traceparent="",
        payload=b"",
    )


def submitted(prompt_id: str = "p", **more: Any) -> PromptSubmitted:
    """Return a submission."""
    values: dict[str, Any] = {
        "prompt_id": prompt_id,
        "user_id": "ann",
        "account": "ann",
        "tier": "pro",
        "client_id": "me",
        "dialect": "comfyui",
        "workflow": Sealed(kid="k"),
        "body_mac": "mac",
        "keyed": False,
    }
    return PromptSubmitted(**{**values, **more})


def queued(prompt_id: str = "p", number: int = 1) -> RunQueued:
    """Return an acceptance."""
    return RunQueued(prompt_id=prompt_id, number=number, tier="pro", account="ann")


def leased(prompt_id: str = "p", attempt: int = 1) -> LeaseGranted:
    """Return a lease."""
    return LeaseGranted(prompt_id=prompt_id, worker_id="w", attempt=attempt, expires_at=NOON)
