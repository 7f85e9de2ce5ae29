"""A reaction of a service to an event: a span in the prompt's trace, and its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from libs.telemetry import measures, tracing


@contextmanager
def reacting(
    service: str, event: str, *, cause: str, tenant: str, prompt_id: str
) -> Iterator[tracing.Span]:
    """Measure the block as the reaction of `service` to an event whose traceparent is `cause`."""
    began = time.perf_counter()
    try:
        with tracing.span(
            f"{service} {event}",
            kind="consumer",
            parent=cause,
            tenant=tenant,
            prompt_id=prompt_id,
            event=event,
        ) as span:
            yield span
    finally:
        measures.REACTION.labels(service, event).observe(time.perf_counter() - began)
