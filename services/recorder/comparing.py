"""Holding the archive against the stream, row by row, over what the stream still has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.bus.base import Bus
from libs.core.errors import Poisoned, Unavailable
from libs.events.base import Event
from libs.events.envelope import Recorded
from libs.store.engine import reading
from libs.store.readmodels import event_log
from libs.store.readmodels.event_log import ArchivedEvent
from services.recorder.domain.rows import type_of
from services.recorder.domain.walk import Fault, Wrong
from services.recorder.feeding import feed_from

SILENT_BATCHES_MAX: Final = 10


async def first_difference(
    bus: Bus, database: AsyncEngine, start: int, end: int, tell: Callable[[int], None] | None = None
) -> Fault | None:
    """Return the first place from `start` to `end` where archive and stream differ.

    What has left the stream by age meanwhile is not compared. `tell` hears of each place reached.
    """
    silent = 0
    try:
        async with feed_from(bus, start) as feed:
            async for batch in feed:
                events = [recorded for recorded in batch.events if recorded.seq <= end]
                fault = await _compare(database, events)
                if fault is not None or batch.last_seq >= end:
                    return fault
                silent = 0 if batch.events else silent + 1
                if silent > SILENT_BATCHES_MAX:
                    raise Unavailable("the stream does not give what it says it has", end=end)
                if tell is not None:
                    tell(batch.last_seq)
    except Poisoned as error:
        seq = int(str(error.facts.get("expected", 0)))
        return Fault(seq, "", Wrong.STREAM, f"the stream lost what it should still have: {error}")
    return None


async def type_on_stream(bus: Bus, seq: int) -> str:
    """Return the type of the event at a sequence of the stream, or nothing if it is gone."""
    state = await bus.state()
    if not state.first_seq <= seq <= state.last_seq:
        return ""
    async with feed_from(bus, seq, batch_max=1) as feed:
        async for batch in feed:
            for recorded in batch.events:
                return type_of(recorded.event) if recorded.seq == seq else ""
    return ""


async def _compare(database: AsyncEngine, events: Sequence[Recorded[Event]]) -> Fault | None:
    if not events:
        return None
    async with reading(database) as connection:
        rows = await event_log.at(connection, [recorded.seq for recorded in events])
    archived = {row.seq: row for row in rows}
    faults = (_difference(recorded, archived.get(recorded.seq)) for recorded in events)
    return next((fault for fault in faults if fault is not None), None)


def _difference(recorded: Recorded[Event], row: ArchivedEvent | None) -> Fault | None:
    name = type_of(recorded.event)
    if row is None:
        return Fault(recorded.seq, name, Wrong.MISSING, "the stream has it, the archive does not")
    if row.subject != recorded.subject:
        detail = f"the stream has it on {recorded.subject}, the archive on {row.subject}"
        return Fault(recorded.seq, name, Wrong.STREAM, detail)
    if row.payload != recorded.payload:
        detail = f"the payloads differ from byte {_first_byte(row.payload, recorded.payload)} on"
        return Fault(recorded.seq, name, Wrong.STREAM, detail)
    return None


def _first_byte(one: bytes, other: bytes) -> int:
    pairs = zip(one, other, strict=False)
    shorter = min(len(one), len(other))
    return next((place for place, (here, there) in enumerate(pairs) if here != there), shorter)
