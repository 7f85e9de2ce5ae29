"""The proof of the read models: built anew from the archive alone, they are the same."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.events.envelope import read
from libs.store.digest import REBUILDABLE, digest, first_unlike
from libs.store.engine import build_schema, reading
from libs.store.fold import Batch
from libs.store.readmodels import checkpoint, event_log
from libs.store.readmodels.event_log import ArchivedEvent
from services.recorder.applying import Skipped, apply, apply_carefully, is_poison
from services.recorder.verifying import Tell, silent

REBUILD, COMPARE = "rebuild", "compare"
PAGE: Final = 1000


@dataclass(frozen=True)
class Compared:
    """One read model, as it is and as it follows from the archive; where they differ first."""

    table: str
    living: str
    rebuilt: str
    difference: str = ""

    @property
    def equal(self) -> bool:
        """Say whether nothing differs."""
        return self.living == self.rebuilt


@dataclass(frozen=True)
class Rebuilt:
    """What came of a rebuild: how far it went, what no table took, and each table compared."""

    seq: int
    checkpoint: int
    events: int
    skipped: int
    tables: tuple[Compared, ...]
    schema: str = ""

    @property
    def sound(self) -> bool:
        """Say whether every table is the same, and the archive as long as its checkpoint says."""
        return self.seq == self.checkpoint and all(table.equal for table in self.tables)


async def rebuild(database: AsyncEngine, *, keep: bool = False, tell: Tell = silent) -> Rebuilt:
    """Build the read models anew in a schema of their own, and compare.

    All of it is one transaction, which sees the house at one moment; unless `keep` it is taken
    back, so that nothing stays behind even of a rebuild that is killed.
    """
    schema = f"rebuilt_{secrets.token_hex(6)}"
    snapshot = database.execution_options(isolation_level="REPEATABLE READ")
    async with reading(snapshot) as connection:
        place = await checkpoint.load(connection)
        end = place.seq if place else 0
        living = str(await connection.scalar(text("SELECT current_schema()")))
        await build_schema(connection, schema)
        seq, events, skipped = 0, 0, 0
        async for rows in event_log.pages(connection, size=PAGE, schema=living):
            skipped += len(await _apply(connection, rows))
            seq, events = rows[-1].seq, events + len(rows)
            tell(REBUILD, events, end)
        tables = await _compare(connection, living, schema, tell)
        if keep:
            await connection.commit()
    return Rebuilt(seq, end, events, skipped, tables, schema if keep else "")


async def _apply(connection: AsyncConnection, rows: Sequence[ArchivedEvent]) -> list[Skipped]:
    # A copy of an event was archived without its id and is in no read model.
    events = [
        read(row.payload, seq=row.seq, subject=row.subject)
        for row in rows
        if row.event_id is not None
    ]
    try:
        return await _try(connection, events)
    except Exception as error:
        if not is_poison(error):
            raise
    return await apply_carefully(connection, events)


async def _try(connection: AsyncConnection, events: Batch) -> list[Skipped]:
    async with connection.begin_nested():
        return await apply(connection, events)


async def _compare(
    connection: AsyncConnection, living: str, rebuilt: str, tell: Tell
) -> tuple[Compared, ...]:
    found = []
    for number, table in enumerate(REBUILDABLE, 1):
        one = await digest(connection, table, schema=living)
        other = await digest(connection, table, schema=rebuilt)
        difference = ""
        if one != other:
            key, columns = await first_unlike(connection, table, living, rebuilt)
            where = " ".join(f"{name}={value}" for name, value in key.items())
            what = ", ".join(columns) if columns else "the row is in one of the two only"
            difference = f"{where}: {what}"
        found.append(Compared(table.name, one, other, difference))
        tell(COMPARE, number, len(REBUILDABLE))
    return tuple(found)
