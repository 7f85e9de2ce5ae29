"""Proofs over the archive: that its chain holds, and that the read models follow from it."""

from __future__ import annotations

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.core.errors import StudioError
from libs.events.envelope import read
from libs.store.digest import REBUILDABLE, digest
from libs.store.engine import make_engine, migrate, reading, writing
from libs.store.fold import Batch
from libs.store.readmodels import checkpoint, event_log
from services.recorder.applying import apply, apply_carefully, is_poison
from services.recorder.domain.chain import Archived, Break, Tip, check, check_end


class ChainBroken(StudioError):
    """The archive is not what was archived."""

    code = "chain_broken"


async def verify_chain(engine: AsyncEngine) -> Tip:
    """Follow the hash chain from the first event to the checkpoint; ChainBroken names the place."""
    tip = Tip()
    async with reading(engine) as connection:
        place = await checkpoint.load(connection)
        async for rows in event_log.pages(connection):
            links = (Archived(row.seq, row.subject, row.payload, row.hash) for row in rows)
            tip = _holding(check(tip, links))
    recorded = Tip(place.seq, place.hash) if place else Tip()
    return _holding(check_end(tip, recorded) or tip)


def _holding(found: Tip | Break) -> Tip:
    if isinstance(found, Break):
        raise ChainBroken("the hash chain does not hold", seq=found.seq, reason=found.reason)
    return found


async def rebuild(source: AsyncEngine, database_url: str, schema: str) -> int:
    """Build the read models anew in an empty schema, from the archive alone; return the end."""
    await migrate(database_url, schema=schema)
    target = make_engine(database_url, schema=schema, pool_size=1)
    seq = 0
    try:
        async with reading(source) as connection:
            async for rows in event_log.pages(connection):
                seq = rows[-1].seq
                # A copy of an event was archived without its id and is in no read model.
                events = [
                    read(row.payload, seq=row.seq, subject=row.subject)
                    for row in rows
                    if row.event_id is not None
                ]
                await _apply(target, events)
    finally:
        await target.dispose()
    return seq


async def _apply(target: AsyncEngine, events: Batch) -> None:
    try:
        async with writing(target) as connection:
            await apply(connection, events)
    except Exception as error:
        if not is_poison(error):
            raise
        async with writing(target) as connection:
            await apply_carefully(connection, events)


async def digests(engine: AsyncEngine, tables: tuple[Table, ...] = REBUILDABLE) -> dict[str, str]:
    """Return a digest of each read model, to compare one schema with another."""
    async with reading(engine) as connection:
        return {table.name: await digest(connection, table) for table in tables}
