"""What a user keeps, sealed: settings, saved files, names of uploads. Written by the gateway.

These are no news of a prompt, so no event tells of them and no audit covers them. A row whose
data key was destroyed is as good as gone: nothing here finds it, and a new one takes its place.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    LargeBinary,
    Table,
    Text,
    and_,
    delete,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.store.metadata import METADATA, MOMENT
from libs.store.readmodels.data_keys import DATA_KEYS

USER_DOCUMENTS = Table(
    "user_documents",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("shelf", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("kid", Text, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created", MOMENT, nullable=False),
    Column("modified", MOMENT, nullable=False),
)
KEY = tuple(column.name for column in USER_DOCUMENTS.primary_key.columns)
ERASED = exists().where(
    DATA_KEYS.c.tenant == USER_DOCUMENTS.c.tenant,
    DATA_KEYS.c.kid == USER_DOCUMENTS.c.kid,
    DATA_KEYS.c.wrapped.is_(None),
)

Shelf = Literal["setting", "file", "asset"]


@dataclass(frozen=True)
class Place:
    """Whose shelf of documents is meant."""

    tenant: str
    user_id: str
    shelf: Shelf

    @property
    def here(self) -> ColumnElement[bool]:
        """Return the condition that a row lies here."""
        return and_(*(USER_DOCUMENTS.c[name] == value for name, value in asdict(self).items()))


@dataclass(frozen=True)
class DocumentRow:
    """A document; the ciphertext is sealed under `kid`, the size is that of the clear bytes."""

    name: str
    kid: str
    ciphertext: bytes
    size_bytes: int
    created: datetime
    modified: datetime


@dataclass(frozen=True)
class Listed:
    """A document as lists show it."""

    name: str
    size_bytes: int
    created: datetime
    modified: datetime


LISTED = tuple(USER_DOCUMENTS.c[name] for name in ("name", "size_bytes", "created", "modified"))
WHOLE = (*LISTED, USER_DOCUMENTS.c.kid, USER_DOCUMENTS.c.ciphertext)


async def hold(connection: AsyncConnection, place: Place) -> None:
    """Keep everybody else from writing here until the transaction ends; sweep what was erased."""
    words = f"user_documents/{place.tenant}/{place.user_id}/{place.shelf}"
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(words, 0))))
    await connection.execute(delete(USER_DOCUMENTS).where(place.here, ERASED))


async def put(connection: AsyncConnection, place: Place, row: DocumentRow) -> None:
    """Keep a document; the older one of that name goes, but for when it was made."""
    values: dict[str, Any] = {**asdict(place), **asdict(row)}
    newer = {name: value for name, value in values.items() if name not in (*KEY, "created")}
    statement = insert(USER_DOCUMENTS).values(values)
    await connection.execute(statement.on_conflict_do_update(index_elements=KEY, set_=newer))


async def find(connection: AsyncConnection, place: Place, name: str) -> DocumentRow | None:
    """Return a document."""
    found = await connection.execute(
        select(*WHOLE).where(place.here, USER_DOCUMENTS.c.name == name, ~ERASED)
    )
    row = found.mappings().one_or_none()
    return DocumentRow(**row) if row else None


async def everything(connection: AsyncConnection, place: Place) -> list[DocumentRow]:
    """Return all documents of a shelf, by name."""
    statement = select(*WHOLE).where(place.here, ~ERASED).order_by(USER_DOCUMENTS.c.name)
    return [DocumentRow(**row) for row in (await connection.execute(statement)).mappings()]


async def listing(connection: AsyncConnection, place: Place) -> list[Listed]:
    """Return what there is on a shelf, by name."""
    statement = select(*LISTED).where(place.here, ~ERASED).order_by(USER_DOCUMENTS.c.name)
    return [Listed(**row) for row in (await connection.execute(statement)).mappings()]


async def remove(connection: AsyncConnection, place: Place, name: str) -> bool:
    """Take a document away; False if there was none."""
    found = await connection.execute(
        delete(USER_DOCUMENTS).where(place.here, USER_DOCUMENTS.c.name == name)
    )
    return bool(found.rowcount)


async def rename(connection: AsyncConnection, place: Place, name: str, to: str) -> None:
    """Give a document another name, which must be free."""
    await connection.execute(
        update(USER_DOCUMENTS).where(place.here, USER_DOCUMENTS.c.name == name).values(name=to)
    )
