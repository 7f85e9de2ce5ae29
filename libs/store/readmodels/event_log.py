"""The archive: every event as its bytes were received, chained by hashes, never changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    LargeBinary,
    Table,
    Text,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.store.engine import driver
from libs.store.metadata import METADATA, MOMENT

EVENTS: Final = "EVENTS"
EVENT_LOG = Table(
    "event_log",
    METADATA,
    Column("stream", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    # Empty only for a copy of an event that is archived already, or for bytes without an id.
    Column("event_id", Text, unique=True),
    Column("tenant", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("correlation_id", Text, nullable=False, index=True),
    Column("occurred", MOMENT, nullable=False),
    Column("recorded", MOMENT, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)


@dataclass(frozen=True)
class ArchivedEvent:
    """One row of the archive."""

    stream: str
    seq: int
    event_id: str | None
    tenant: str
    subject: str
    type: str
    correlation_id: str
    occurred: datetime
    recorded: datetime
    payload: bytes
    hash: bytes


_NAMES: Final = tuple(column.name for column in EVENT_LOG.c)
_VALUES: Final = attrgetter(*_NAMES)


async def add(connection: AsyncConnection, events: Sequence[ArchivedEvent]) -> None:
    """Archive events, as a bulk of rows without a statement for each."""
    postgres = await driver(connection)
    rows = [_VALUES(event) for event in events]
    await postgres.copy_records_to_table(EVENT_LOG.name, records=rows, columns=_NAMES)


async def story(
    connection: AsyncConnection, prompt_id: str, *, tenant: str | None = None
) -> list[ArchivedEvent]:
    """Return all events about a prompt, in order; prompts of other tenants may share its id."""
    query = select(EVENT_LOG).where(EVENT_LOG.c.correlation_id == prompt_id)
    if tenant is not None:
        query = query.where(EVENT_LOG.c.tenant == tenant)
    found = await connection.execute(query.order_by(EVENT_LOG.c.stream, EVENT_LOG.c.seq))
    return [ArchivedEvent(**row) for row in found.mappings()]


async def page(
    connection: AsyncConnection,
    *,
    after: int,
    limit: int,
    types: Sequence[str] = (),
    stream: str = EVENTS,
) -> list[ArchivedEvent]:
    """Return the next events after a sequence, of all types or of `types` only."""
    query = select(EVENT_LOG).where(EVENT_LOG.c.stream == stream, EVENT_LOG.c.seq > after)
    if types:
        query = query.where(EVENT_LOG.c.type.in_(types))
    found = await connection.execute(query.order_by(EVENT_LOG.c.seq).limit(limit))
    return [ArchivedEvent(**row) for row in found.mappings()]


async def pages(
    connection: AsyncConnection,
    *,
    after: int = 0,
    size: int = 1000,
    stream: str = EVENTS,
    schema: str = "",
) -> AsyncIterator[list[ArchivedEvent]]:
    """Yield the archive from a sequence to its end, a page at a time."""
    table = f'"{schema}".event_log' if schema else "event_log"
    query = f"""
        SELECT {", ".join(_NAMES)} FROM {table}
        WHERE stream = $1 AND seq > $2 ORDER BY seq LIMIT $3
    """  # noqa: S608  Names of our own.
    postgres = await driver(connection)
    while rows := [ArchivedEvent(*row) for row in await postgres.fetch(query, stream, after, size)]:
        yield rows
        after = rows[-1].seq


async def at(
    connection: AsyncConnection, seqs: Sequence[int], *, stream: str = EVENTS
) -> list[ArchivedEvent]:
    """Return the events at some sequences, those that are archived."""
    found = await connection.execute(
        select(EVENT_LOG).where(
            EVENT_LOG.c.stream == stream,
            EVENT_LOG.c.seq == func.any(bindparam("seqs", type_=ARRAY(BigInteger))),
        ),
        {"seqs": list(seqs)},
    )
    return [ArchivedEvent(**row) for row in found.mappings()]


async def is_copy(connection: AsyncConnection, event_id: str, seq: int) -> bool:
    """Say whether an event of that id is archived before a sequence."""
    query = select(EVENT_LOG.c.seq).where(EVENT_LOG.c.event_id == event_id, EVENT_LOG.c.seq < seq)
    return await connection.scalar(query.limit(1)) is not None


async def strange_rows(connection: AsyncConnection, *, stream: str = EVENTS) -> list[ArchivedEvent]:
    """Return the first row on each side of `stream`, which nobody of ours archived."""
    sides = (EVENT_LOG.c.stream < stream, EVENT_LOG.c.stream > stream)
    found = [await connection.execute(select(EVENT_LOG).where(side).limit(1)) for side in sides]
    return [ArchivedEvent(**row) for result in found for row in result.mappings()]
