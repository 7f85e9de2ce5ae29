"""The proof of the archive: its chain holds, its columns follow, and the stream says the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.bus.base import Bus
from libs.core.errors import Misconfigured, Unavailable
from libs.events.envelope import read
from libs.store.digest import digests
from libs.store.engine import reading
from libs.store.readmodels import checkpoint, event_log
from libs.store.readmodels.checkpoint import Checkpoint
from libs.store.readmodels.event_log import ArchivedEvent
from libs.store.text import without_nul
from services.recorder.comparing import first_difference, type_on_stream
from services.recorder.continuity import check_ends
from services.recorder.domain.chain import BEGINNING, Tip
from services.recorder.domain.rows import row_of
from services.recorder.domain.walk import Fault, Walk, Wrong

# Hears what is being done, how much of it is done, and how much there is.
Tell = Callable[[str, int, int], None]
PAGE: Final = 500
CHAIN, COLUMNS, STREAM = "hash chain", "columns", "stream"


def silent(_what: str, _done: int, _all: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Check:
    """One check: the sequences it went over and its first fault, or why it was left out."""

    name: str
    first_seq: int = 0
    last_seq: int = 0
    fault: Fault | None = None
    skipped: str = ""


@dataclass(frozen=True)
class Verified:
    """What was found in the archive as it was at one moment."""

    rows: int
    tip: Tip
    checks: tuple[Check, ...]
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Say whether nothing at all is wrong."""
        return all(check.fault is None for check in self.checks)


async def verify(
    database: AsyncEngine, bus: Bus | None, *, known: Tip | None = None, tell: Tell = silent
) -> Verified:
    """Check the archive; without a bus all but the stream. `known` is a hash kept elsewhere."""
    if bus is not None:
        await _reach(bus)
    snapshot = database.execution_options(isolation_level="REPEATABLE READ")
    async with reading(snapshot) as connection:
        place = await checkpoint.load(connection)
        end = Tip(place.seq, place.hash) if place else BEGINNING
        walk = Walk(end, known or BEGINNING)
        wrong = await _strange(connection)
        async for rows in event_log.pages(connection, size=PAGE):
            for row in rows:
                walk.take(row)
            wrong = wrong or await _first_wrong(connection, rows)
            tell(CHAIN, walk.rows, end.seq)
        chain = walk.finish()
        found = await digests(connection)
    if chain is not None and not chain.type and bus is not None:
        chain = replace(chain, type=await type_on_stream(bus, chain.seq))
    checks = (
        Check(CHAIN, 1, end.seq, chain),
        Check(COLUMNS, 1, end.seq, wrong),
        await _stream(database, bus, place, tell),
    )
    return Verified(walk.rows, walk.tip, checks, found)


async def _reach(bus: Bus) -> None:
    """Ask for the stream before anything else, since the rest may take long."""
    try:
        await bus.state()
    except Unavailable as error:
        raise Unavailable(
            "the stream is not there; correct NATS_URL, run `studio provision`, or check "
            "without it (--no-stream)",
            **error.facts,
        ) from error


async def _strange(connection: AsyncConnection) -> Fault | None:
    for row in await event_log.strange_rows(connection):
        return Fault(row.seq, row.type, Wrong.ADDED, f"there is no stream {row.stream}")
    return None


async def _first_wrong(connection: AsyncConnection, rows: Sequence[ArchivedEvent]) -> Fault | None:
    """Return the first row with a column that does not follow from its bytes."""
    for row in rows:
        names = await _wrong_columns(connection, row)
        if names:
            detail = f"{', '.join(names)} is not what follows from the bytes"
            return Fault(row.seq, row.type, Wrong.COLUMN, detail)
    return None


async def _wrong_columns(connection: AsyncConnection, row: ArchivedEvent) -> list[str]:
    recorded = read(row.payload, seq=row.seq, subject=row.subject)
    is_copy = row.event_id is None
    follows = row_of(recorded, is_copy=is_copy, moment=row.recorded, hash=row.hash)
    if row != follows:
        names = [one.name for one in fields(row)]
        return [name for name in names if getattr(row, name) != getattr(follows, name)]
    if is_copy and not await event_log.is_copy(connection, without_nul(recorded.event_id), row.seq):
        return ["event_id"]
    return []


async def _stream(
    database: AsyncEngine, bus: Bus | None, place: Checkpoint | None, tell: Tell
) -> Check:
    if bus is None:
        return Check(STREAM, skipped="it was not asked for")
    state = await bus.state()
    try:
        check_ends(state, place)
    except Misconfigured as error:
        return Check(STREAM, state.first_seq, state.last_seq, _of_the_whole(error))
    end = min(place.seq if place else 0, state.last_seq)
    start = state.first_seq
    if start > end:
        return Check(STREAM, skipped="it holds nothing that is archived")
    count = end - start + 1
    tell(STREAM, 0, count)
    fault = await first_difference(
        bus, database, start, end, lambda seq: tell(STREAM, min(seq, end) - start + 1, count)
    )
    return Check(STREAM, start, end, fault)


def _of_the_whole(error: Misconfigured) -> Fault:
    return Fault(0, "", Wrong.STREAM, str(error))
