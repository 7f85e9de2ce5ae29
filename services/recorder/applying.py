"""Applying events to the read models so that one event which cannot be applied stops no other."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.core.errors import Poisoned
from libs.events.base import Event, Unreadable
from libs.events.envelope import Recorded
from libs.store import projections
from libs.store.fold import Batch

log = structlog.get_logger(__name__)

# Values that no column takes: wrong data, a broken constraint, beyond a limit of an index.
POISON_SQLSTATES = ("22", "23", "54")


@dataclass(frozen=True)
class Skipped:
    """An event that is archived but in no read model, and why."""

    recorded: Recorded[Event]
    error: Poisoned


async def apply(connection: AsyncConnection, batch: Batch) -> list[Skipped]:
    """Bring the read models up to the end of `batch`; return what had to be left out.

    Leaving out is a function of the events alone, so a rebuild leaves out the same.
    """
    known = [recorded for recorded in batch if not isinstance(recorded.event, Unreadable)]
    skipped = [
        Skipped(recorded, Poisoned("unknown event", type=recorded.event.name, seq=recorded.seq))
        for recorded in batch
        if isinstance(recorded.event, Unreadable)
    ]
    if known and await _try(connection, known) is not None:
        skipped += [
            Skipped(recorded, error)
            for recorded in known
            if (error := await _try(connection, [recorded])) is not None
        ]
    for skip in skipped:
        log.error(
            "event_in_no_read_model",
            seq=skip.recorded.seq,
            subject=skip.recorded.subject,
            reason=str(skip.error),
        )
    return skipped


async def _try(connection: AsyncConnection, batch: Batch) -> Poisoned | None:
    try:
        async with connection.begin_nested():
            await projections.apply(connection, batch)
    except Exception as error:
        if not is_poison(error):
            raise
        # The parameters are left out of the text: they may be words of a person.
        reason = str(error.orig) if isinstance(error, DBAPIError) else repr(error)
        return Poisoned("the event cannot be applied", reason=reason)
    return None


def is_poison(error: Exception) -> bool:
    """Say whether the event is at fault: then trying again will never help."""
    if isinstance(error, DBAPIError):
        cause = error.orig.__cause__ if error.orig is not None else None
        if isinstance(cause, asyncpg.exceptions.DataError):
            return True  # The driver found the value too large before the server saw it.
        sqlstate = str(getattr(error.orig, "sqlstate", None) or "")
        return sqlstate.startswith(POISON_SQLSTATES)
    return not isinstance(error, OSError | asyncpg.PostgresError | asyncpg.InterfaceError)
