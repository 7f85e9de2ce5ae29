"""Data keys of the vault, wrapped; an empty one is a person who was erased."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, ColumnElement, Index, LargeBinary, Table, Text, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.store.metadata import METADATA, MOMENT

DATA_KEYS = Table(
    "data_keys",
    METADATA,
    Column("kid", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("wrapped", LargeBinary),
    Column("created", MOMENT, nullable=False, server_default=text("now()")),
)
LIVING = text("wrapped IS NOT NULL")
Index(
    "data_keys_one_living",
    DATA_KEYS.c.tenant,
    DATA_KEYS.c.user_id,
    unique=True,
    postgresql_where=LIVING,
)


@dataclass(frozen=True)
class DataKeyRow:
    """A wrapped data key; without `wrapped` it was destroyed."""

    kid: str
    tenant: str
    user_id: str
    wrapped: bytes | None
    created: datetime


async def add(
    connection: AsyncConnection, *, kid: str, tenant: str, user_id: str, wrapped: bytes
) -> None:
    """Keep a key unless the user has a living one, whoever made it."""
    await connection.execute(
        insert(DATA_KEYS)
        .values(kid=kid, tenant=tenant, user_id=user_id, wrapped=wrapped)
        .on_conflict_do_nothing(index_elements=["tenant", "user_id"], index_where=LIVING)
    )


async def living(connection: AsyncConnection, tenant: str, user_id: str) -> DataKeyRow | None:
    """Return the key that a user's data is sealed under now."""
    return await _one(
        connection,
        (DATA_KEYS.c.tenant == tenant) & (DATA_KEYS.c.user_id == user_id) & LIVING,
    )


async def by_kid(connection: AsyncConnection, tenant: str, kid: str) -> DataKeyRow | None:
    """Return a key of a tenant by its id, destroyed or not."""
    return await _one(connection, (DATA_KEYS.c.tenant == tenant) & (DATA_KEYS.c.kid == kid))


async def newest(connection: AsyncConnection) -> DataKeyRow | None:
    """Return the living key that was made last, whosever it is."""
    found = await connection.execute(
        select(DATA_KEYS).where(LIVING).order_by(DATA_KEYS.c.created.desc()).limit(1)
    )
    row = found.mappings().one_or_none()
    return DataKeyRow(**row) if row else None


async def destroy(connection: AsyncConnection, tenant: str, user_id: str) -> list[str]:
    """Forget all keys of a user for ever; return their ids."""
    found = await connection.scalars(
        update(DATA_KEYS)
        .where(DATA_KEYS.c.tenant == tenant, DATA_KEYS.c.user_id == user_id, LIVING)
        .values(wrapped=None)
        .returning(DATA_KEYS.c.kid)
    )
    return list(found)


async def _one(connection: AsyncConnection, condition: ColumnElement[bool]) -> DataKeyRow | None:
    found = await connection.execute(select(DATA_KEYS).where(condition))
    row = found.mappings().one_or_none()
    return DataKeyRow(**row) if row else None
