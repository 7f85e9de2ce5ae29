"""Is the stream still the one that was archived? Asked at start and every hour."""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.bus.base import Bus, StreamState
from libs.core.errors import Misconfigured, Unavailable
from libs.events.base import Event
from libs.events.envelope import Recorded
from libs.store.engine import reading
from libs.store.readmodels import event_log
from libs.store.readmodels.checkpoint import Checkpoint
from libs.store.readmodels.event_log import ArchivedEvent
from services.recorder.feeding import feed_from

COMPARED_MAX: Final = 1000
SILENT_BATCHES_MAX: Final = 10
RESTORE: Final = "restore the stream or the database, whichever is not the one you had"


async def check(bus: Bus, database: AsyncEngine, place: Checkpoint | None) -> StreamState:
    """Return the stream's state if it goes on where the archive ends; Misconfigured if not."""
    state = await bus.state()
    check_ends(state, place)
    if place is not None and place.seq:
        await _compare(bus, database, state, place)
    return state


def check_ends(state: StreamState, place: Checkpoint | None) -> None:
    """Compare beginning, end and birth of the stream with the archive's last place."""
    archived = place.seq if place else 0
    facts = {"archived": archived, "first": state.first_seq, "last": state.last_seq}
    if place is not None and place.stream_created != state.created:
        raise Misconfigured(
            f"the stream was made anew since it was archived; {RESTORE}",
            archived_of=place.stream_created,
            made=state.created,
            **facts,
        )
    if state.last_seq < archived:
        raise Misconfigured(f"the stream is shorter than its archive; {RESTORE}", **facts)
    if state.first_seq > archived + 1:
        raise Misconfigured(
            "events expired before they were archived and are lost; "
            "they are missing in every read model",
            **facts,
        )


async def _compare(bus: Bus, database: AsyncEngine, state: StreamState, place: Checkpoint) -> None:
    """Compare the newest archived events with what the stream holds at their places."""
    start = max(state.first_seq, place.seq - COMPARED_MAX + 1, 1)
    if start > place.seq:
        return
    async with reading(database) as connection:
        rows = await event_log.page(connection, after=start - 1, limit=COMPARED_MAX)
    archived = {row.seq: row for row in rows if row.seq <= place.seq}
    await _compare_rows(bus, start, place.seq, archived)


async def _compare_rows(bus: Bus, start: int, end: int, archived: dict[int, ArchivedEvent]) -> None:
    silent = 0
    async with feed_from(bus, start) as feed:
        async for batch in feed:
            for recorded in batch.events:
                _compare_one(recorded, end, archived.get(recorded.seq))
            if batch.last_seq >= end:
                return
            silent = 0 if batch.events else silent + 1
            if silent > SILENT_BATCHES_MAX:
                raise Unavailable("the stream does not give what it says it has", end=end)


def _compare_one(recorded: Recorded[Event], end: int, row: ArchivedEvent | None) -> None:
    if recorded.seq > end:
        return
    held = (recorded.subject, recorded.payload)
    if row is None or (row.subject, row.payload) != held:
        raise Misconfigured(
            f"the stream holds another event than its archive; {RESTORE}", seq=recorded.seq
        )
