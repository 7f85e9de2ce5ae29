"""The journal on JetStream: append with an expected sequence, load from the leader."""

from __future__ import annotations

from collections.abc import Sequence

from libs.bus.base import EVENTS_STREAM
from libs.bus.connection import Connection
from libs.bus.feed import read_until
from libs.bus.identity import new_event_id, utc_now
from libs.bus.limits import check_sizes
from libs.bus.reads import last_of, next_of
from libs.bus.traced import appending
from libs.bus.writer import Draft, Write, Writer
from libs.core.errors import Conflict
from libs.decider import Loaded
from libs.events.base import Event
from libs.events.envelope import Cause, Recorded, subject_for, unwrap, wrap
from libs.telemetry import measures

WALK_MAX = 16


class JetStreamJournal:
    """Append and load; ids, times and the source are made here and nowhere else."""

    def __init__(self, connection: Connection, source: str) -> None:
        self._connection = connection
        self._writer = Writer(connection)
        self._source = source

    @property
    def trouble(self) -> str:
        """Why the last write of late was not taken; nothing when it was, or is long ago."""
        return self._writer.trouble

    async def load(self, subject: str, after: int = 0) -> Loaded:
        """Return the events of `subject` after sequence `after`."""
        last = await last_of(self._connection, EVENTS_STREAM, subject)
        if last is None:
            return Loaded((), 0)
        events: list[Recorded[Event]] = []
        seq = after
        while seq < last.seq:
            if len(events) == WALK_MAX:
                # A long subject is read through a consumer, not message by message.
                events += await read_until(self._connection, subject, seq + 1, last.seq)
                break
            found = await next_of(self._connection, EVENTS_STREAM, subject, seq + 1)
            if found is None:
                break
            events.append(unwrap(found.data, seq=found.seq, subject=subject))
            seq = found.seq
        return Loaded(tuple(events), last.seq)

    async def append(
        self, tenant: str, events: Sequence[Event], expected: int, cause: Cause
    ) -> tuple[Recorded[Event], ...]:
        """Write all events or none."""
        subject = subject_for(tenant, events)
        span, cause = appending(tenant, events, cause)
        with span, measures.APPEND.labels(events[0].kind).time():
            return await self._append(tenant, events, expected, cause, subject)

    async def _append(
        self, tenant: str, events: Sequence[Event], expected: int, cause: Cause, subject: str
    ) -> tuple[Recorded[Event], ...]:
        now = utc_now()
        drafts = []
        for event in events:
            event_id = new_event_id()
            data = wrap(
                event, event_id=event_id, tenant=tenant, source=self._source, time=now, cause=cause
            )
            drafts.append(Draft(event_id, data))
        check_sizes(subject, [draft.data for draft in drafts])
        try:
            seqs = await self._writer.write(Write(EVENTS_STREAM, subject, drafts, expected))
        except Conflict:
            measures.CONFLICTS.labels(events[0].kind).inc()
            raise
        return tuple(
            unwrap(draft.data, seq=seq, subject=subject)
            for seq, draft in zip(seqs, drafts, strict=True)
        )
