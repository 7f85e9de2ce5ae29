"""Is the stream still the one that was archived? Asked at start and every hour."""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.bus.base import Bus, StreamState
from libs.core.errors import Misconfigured
from libs.store.readmodels.checkpoint import Checkpoint
from services.recorder.comparing import first_difference

COMPARED_MAX: Final = 1000
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
    fault = await first_difference(bus, database, start, place.seq)
    if fault is not None:
        raise Misconfigured(
            f"the stream holds another event than its archive; {RESTORE}",
            seq=fault.seq,
            type=fault.type,
            reason=fault.detail,
        )
