"""How a row of the archive follows from an event: all of it but when it was archived."""

from __future__ import annotations

from datetime import datetime

from libs.events.base import Event, Unreadable
from libs.events.envelope import Recorded
from libs.store.readmodels.event_log import EVENTS, ArchivedEvent
from libs.store.text import without_nul


def row_of(
    recorded: Recorded[Event],
    *,
    is_copy: bool,
    moment: datetime,
    hash: bytes,  # noqa: A002  The column's name.
) -> ArchivedEvent:
    """Return the row of an event; a copy of one that is archived already has no id."""
    return ArchivedEvent(
        stream=EVENTS,
        seq=recorded.seq,
        event_id=None if is_copy else without_nul(recorded.event_id),
        tenant=recorded.tenant,
        subject=recorded.subject,
        type=without_nul(type_of(recorded.event)),
        correlation_id=without_nul(recorded.correlation_id),
        occurred=recorded.time,
        recorded=moment,
        payload=recorded.payload,
        hash=hash,
    )


def type_of(event: Event) -> str:
    """Return the wire name of an event, known or not."""
    return event.name if isinstance(event, Unreadable) else type(event).__name__
