"""Workflows that users keep, each version sealed. Written by the gateway.

As with `user_documents`, no event tells of them, and a row whose data key was destroyed is found
by nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    LargeBinary,
    Table,
    Text,
    and_,
    delete,
    distinct,
    exists,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.store.metadata import METADATA, MOMENT
from libs.store.readmodels.data_keys import DATA_KEYS

WORKFLOW_VERSIONS = Table(
    "workflow_versions",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("workflow_id", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("kid", Text, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created", MOMENT, nullable=False),
    Column("modified", MOMENT, nullable=False),
)
COLUMNS = WORKFLOW_VERSIONS.c
ERASED = exists().where(
    DATA_KEYS.c.tenant == COLUMNS.tenant,
    DATA_KEYS.c.kid == COLUMNS.kid,
    DATA_KEYS.c.wrapped.is_(None),
)


@dataclass(frozen=True)
class Drawer:
    """Whose workflows are meant."""

    tenant: str
    user_id: str

    @property
    def here(self) -> ColumnElement[bool]:
        """Return the condition that a row lies here."""
        return and_(COLUMNS.tenant == self.tenant, COLUMNS.user_id == self.user_id)


@dataclass(frozen=True)
class VersionFacts:
    """A version as lists show it; `created` is when the workflow was, `modified` this version."""

    workflow_id: str
    version: int
    name: str
    size_bytes: int
    created: datetime
    modified: datetime


@dataclass(frozen=True)
class VersionRow(VersionFacts):
    """A version; the ciphertext is sealed under `kid`, the size is that of the clear bytes."""

    kid: str
    ciphertext: bytes


@dataclass(frozen=True)
class Room:
    """How much of a user's room is taken, by all versions together."""

    workflows: int
    size_bytes: int


@dataclass(frozen=True)
class Page:
    """A part of a list, and how long the whole of it is."""

    items: Sequence[VersionFacts]
    total: int


FACTS = tuple(COLUMNS[name] for name in VersionFacts.__dataclass_fields__)
WHOLE = tuple(COLUMNS[name] for name in VersionRow.__dataclass_fields__)


async def hold(connection: AsyncConnection, drawer: Drawer) -> None:
    """Keep everybody else from writing here until the transaction ends; sweep what was erased."""
    words = f"workflow_versions/{drawer.tenant}/{drawer.user_id}"
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(words, 0))))
    await connection.execute(delete(WORKFLOW_VERSIONS).where(drawer.here, ERASED))


async def add(connection: AsyncConnection, drawer: Drawer, row: VersionRow) -> None:
    """Keep a version."""
    await connection.execute(insert(WORKFLOW_VERSIONS).values({**asdict(drawer), **asdict(row)}))


async def find(
    connection: AsyncConnection, drawer: Drawer, workflow_id: str, version: int | None = None
) -> VersionRow | None:
    """Return a version, the newest if none is named."""
    statement = select(*WHOLE).where(drawer.here, COLUMNS.workflow_id == workflow_id, ~ERASED)
    if version is not None:
        statement = statement.where(COLUMNS.version == version)
    found = await connection.execute(statement.order_by(COLUMNS.version.desc()).limit(1))
    row = found.mappings().one_or_none()
    return VersionRow(**row) if row else None


async def listing(
    connection: AsyncConnection, drawer: Drawer, search: str, offset: int, limit: int
) -> Page:
    """Return workflows by their newest versions, the last changed first; `search` is in the name."""
    newest = (
        select(*FACTS)
        .where(drawer.here, ~ERASED)
        .ext(distinct_on(COLUMNS.workflow_id))
        .order_by(COLUMNS.workflow_id, COLUMNS.version.desc())
        .subquery()
    )
    fits = newest.c.name.icontains(search, autoescape=True)
    order = (newest.c.modified.desc(), newest.c.workflow_id.desc())
    total = await connection.scalar(select(func.count()).select_from(newest).where(fits))
    found = await connection.execute(
        select(newest).where(fits).order_by(*order).offset(offset).limit(limit)
    )
    return Page([VersionFacts(**row) for row in found.mappings()], total or 0)


async def versions(
    connection: AsyncConnection, drawer: Drawer, workflow_id: str
) -> list[VersionFacts]:
    """Return all versions of a workflow that are kept, the newest first."""
    statement = select(*FACTS).where(drawer.here, COLUMNS.workflow_id == workflow_id, ~ERASED)
    found = await connection.execute(statement.order_by(COLUMNS.version.desc()))
    return [VersionFacts(**row) for row in found.mappings()]


async def room(connection: AsyncConnection, drawer: Drawer) -> Room:
    """Return what is taken."""
    count, size = func.count(distinct(COLUMNS.workflow_id)), func.sum(COLUMNS.size_bytes)
    found = (await connection.execute(select(count, size).where(drawer.here))).one()
    return Room(found[0], int(found[1] or 0))


async def remove(
    connection: AsyncConnection, drawer: Drawer, workflow_id: str, before: int | None = None
) -> None:
    """Take a workflow away, or only its versions before one."""
    statement = delete(WORKFLOW_VERSIONS).where(drawer.here, COLUMNS.workflow_id == workflow_id)
    if before is not None:
        statement = statement.where(COLUMNS.version < before)
    await connection.execute(statement)
