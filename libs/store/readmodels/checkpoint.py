"""How far a reader of the stream has come, kept in the transaction of what it wrote."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Final

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.store.engine import driver
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


_NAMES: Final = tuple(column.name for column in CHECKPOINT.c)
_LOAD: Final = f"SELECT {', '.join(_NAMES)} FROM checkpoint WHERE name = $1"  # noqa: S608  Our own.
_SAVE: Final = f"""
    INSERT INTO checkpoint ({", ".join(_NAMES)}) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (name) DO UPDATE SET
        stream = excluded.stream, seq = excluded.seq, hash = excluded.hash,
        stream_created = excluded.stream_created
"""  # noqa: S608  Our own.


async def load(connection: AsyncConnection, name: str = ARCHIVE) -> Checkpoint | None:
    """Return how far `name` has come, or None before its first step."""
    found = await (await driver(connection)).fetchrow(_LOAD, name)
    return Checkpoint(*found) if found else None


async def covered_seq(connection: AsyncConnection) -> int:
    """Return the sequence up to which the read models are true; 0 before the first event."""
    found = await load(connection)
    return found.seq if found else 0


async def save(connection: AsyncConnection, checkpoint: Checkpoint) -> None:
    """Move a reader's place."""
    await (await driver(connection)).execute(_SAVE, *astuple(checkpoint))
