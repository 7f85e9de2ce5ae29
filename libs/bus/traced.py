"""An append as a part of a trace: what is written names the append as its parent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from libs.events.base import Event
from libs.events.envelope import Cause
from libs.telemetry import tracing


def appending(tenant: str, events: Sequence[Event], cause: Cause) -> tuple[tracing.Span, Cause]:
    """Begin the span of an append, and return the cause that its events are to carry."""
    first = events[0]
    span = tracing.span(
        f"append {type(first).__name__}",
        kind="producer",
        parent=cause.traceparent,
        tenant=tenant,
        prompt_id=first.correlation_id or cause.correlation_id,
        events=len(events),
    )
    if span.traceparent == cause.traceparent:
        return span, cause
    return span, replace(cause, traceparent=span.traceparent)
