"""Applying events to the read models so that one event which cannot be applied stops no other."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.core.errors import Poisoned, StudioError
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
    """Bring the read models up to the end of `batch`; return what is no event of ours.

    An event that cannot be applied raises, and the transaction is lost: try `apply_carefully`.
    """
    known = [recorded for recorded in batch if not isinstance(recorded.event, Unreadable)]
    if known:
        await projections.apply(connection, known)
    return _tell([skip for recorded in batch if (skip := _unknown(recorded)) is not None])


async def apply_carefully(connection: AsyncConnection, batch: Batch) -> list[Skipped]:
    """Apply events one by one, and return those that had to be left out.

    Leaving out is a function of the events alone, so a rebuild leaves out the same.
    """
    skipped = []
    for recorded in batch:
        skip = _unknown(recorded) or await _try(connection, recorded)
        if skip is not None:
            skipped.append(skip)
    return _tell(skipped)


def _unknown(recorded: Recorded[Event]) -> Skipped | None:
    event = recorded.event
    if not isinstance(event, Unreadable):
        return None
    return Skipped(recorded, Poisoned("no event of ours", type=event.name, reason=event.reason))


async def _try(connection: AsyncConnection, recorded: Recorded[Event]) -> Skipped | None:
    try:
        async with connection.begin_nested():
            await projections.apply(connection, [recorded])
    except Exception as error:
        if not is_poison(error):
            raise
        # The parameters are left out of the text: they may be words of a person.
        reason = str(error.orig) if isinstance(error, DBAPIError) else repr(error)
        return Skipped(recorded, Poisoned("the event cannot be applied", reason=reason))
    return None


def _tell(skipped: list[Skipped]) -> list[Skipped]:
    for skip in skipped:
        log.error(
            "event_in_no_read_model",
            seq=skip.recorded.seq,
            subject=skip.recorded.subject,
            reason=str(skip.error),
        )
    return skipped


def is_poison(error: Exception) -> bool:
    """Say whether the event is at fault: then trying again will never help."""
    cause = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else error
    if isinstance(cause, asyncpg.InterfaceError) and isinstance(cause, ValueError):
        return True  # The driver found the value too large before the server saw it.
    if isinstance(error, DBAPIError):
        return _names_poison(getattr(error.orig, "sqlstate", None))
    if isinstance(error, asyncpg.PostgresError):
        return _names_poison(error.sqlstate)
    return not isinstance(error, OSError | StudioError | asyncpg.InterfaceError)


def _names_poison(sqlstate: str | None) -> bool:
    return (sqlstate or "").startswith(POISON_SQLSTATES)
