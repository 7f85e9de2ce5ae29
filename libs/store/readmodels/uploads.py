"""Uploaded inputs: written by the gateway itself, for they are files of a user, not news."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import BigInteger, Column, Table, Text, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.store.metadata import METADATA, MOMENT

UPLOADS = Table(
    "uploads",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("folder", Text, primary_key=True),
    Column("subfolder", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("artifact", Text, nullable=False),
    Column("kid", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("mime", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created", MOMENT, nullable=False),
)

Folder = Literal["input", "temp"]


@dataclass(frozen=True)
class UploadRow:
    """A file that a user handed in; the artifact is sealed under `kid`.

    `digest` is the vault's keyed digest of the clear bytes, so that equal files can be told.
    """

    tenant: str
    user_id: str
    folder: Folder
    subfolder: str
    name: str
    artifact: str
    kid: str
    digest: str
    mime: str
    size_bytes: int
    created: datetime


async def add(connection: AsyncConnection, upload: UploadRow, *, overwrite: bool = False) -> bool:
    """Keep an upload; False and nothing changed when its name is taken and must stay."""
    values = asdict(upload)
    statement = insert(UPLOADS).values(values)
    keys = [column.name for column in UPLOADS.primary_key.columns]
    statement = (
        statement.on_conflict_do_update(index_elements=keys, set_=values)
        if overwrite
        else statement.on_conflict_do_nothing(index_elements=keys)
    )
    found = await connection.execute(statement)
    return bool(found.rowcount)


async def find(
    connection: AsyncConnection,
    tenant: str,
    user_id: str,
    folder: str,
    subfolder: str,
    name: str,
) -> UploadRow | None:
    """Return a user's upload of that name."""
    found = await connection.execute(
        select(UPLOADS).where(
            UPLOADS.c.tenant == tenant,
            UPLOADS.c.user_id == user_id,
            UPLOADS.c.folder == folder,
            UPLOADS.c.subfolder == subfolder,
            UPLOADS.c.name == name,
        )
    )
    row = found.mappings().one_or_none()
    return UploadRow(**row) if row else None


async def names(
    connection: AsyncConnection, tenant: str, user_id: str, folder: str = "input"
) -> list[str]:
    """Return a user's files of a folder as `subfolder/name`, sorted."""
    found = await connection.execute(
        select(UPLOADS.c.subfolder, UPLOADS.c.name).where(
            UPLOADS.c.tenant == tenant, UPLOADS.c.user_id == user_id, UPLOADS.c.folder == folder
        )
    )
    return sorted(f"{row.subfolder}/{row.name}" if row.subfolder else row.name for row in found)
