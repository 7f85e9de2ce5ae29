"""How far a reader of the stream has come, kept in the transaction of what it wrote."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.store.metadata import METADATA

CHECKPOINT = Table(
    "checkpoint",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("stream", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("stream_created", Text, nullable=False),
)

ARCHIVE = "archive"
PUBLIC = "public"


@dataclass(frozen=True)
class Checkpoint:
    """The last sequence that is done, the chain's hash there, and which stream it was."""

    name: str
    stream: str
    seq: int
    hash: bytes
    stream_created: str


async def load(connection: AsyncConnection, name: str = ARCHIVE) -> Checkpoint | None:
    """Return how far `name` has come, or None before its first step."""
    found = await connection.execute(select(CHECKPOINT).where(CHECKPOINT.c.name == name))
    row = found.mappings().one_or_none()
    return Checkpoint(**row) if row else None


async def covered_seq(connection: AsyncConnection) -> int:
    """Return the sequence up to which the read models are true; 0 before the first event."""
    found = await load(connection)
    return found.seq if found else 0


async def save(connection: AsyncConnection, checkpoint: Checkpoint) -> None:
    """Move a reader's place."""
    values = asdict(checkpoint)
    await connection.execute(
        insert(CHECKPOINT)
        .values(values)
        .on_conflict_do_update(index_elements=["name"], set_=values)
    )
