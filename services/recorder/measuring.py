"""One commit, measured: how much, how long, how far behind, and for whose trace."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from libs.events.base import Event
from libs.events.envelope import Recorded
from libs.telemetry import tracing
from libs.telemetry.scope import trace_id
from services.recorder import metrics


@contextmanager
def committing(events: Sequence[Recorded[Event]]) -> Iterator[None]:
    """Measure the block, which commits `events`; what failed stays behind."""
    began_ns = time.time_ns()
    metrics.IN_HAND.oldest = events[0].time.timestamp()
    with metrics.COMMIT.time():
        yield
    metrics.IN_HAND.oldest = None
    metrics.BATCH.observe(len(events))
    metrics.ARCHIVE.observe(max(0.0, time.time() - events[0].time.timestamp()))
    _trace(events, began_ns, time.time_ns())


def _trace(events: Sequence[Recorded[Event]], began_ns: int, ended_ns: int) -> None:
    """Record one span for each trace in the batch, below the last of its events."""
    told: dict[str, list[Recorded[Event]]] = {}
    for recorded in events:
        if tracing.recording(recorded.traceparent):
            told.setdefault(trace_id(recorded.traceparent), []).append(recorded)
    for own in told.values():
        last = own[-1]
        tracing.record(
            "recorder archive",
            began_ns,
            ended_ns,
            kind="consumer",
            parent=last.traceparent,
            tenant=last.tenant,
            prompt_id=last.correlation_id,
            events=len(own),
            batch_events=len(events),
            last_seq=last.seq,
        )
