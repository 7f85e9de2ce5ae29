"""What Painter keeps for a user: favourites, and the texts typed last, sealed.

These are no news of a prompt, so no event tells of them and no audit covers them. A text whose
data key was destroyed is as good as gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text, delete, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.store.metadata import METADATA, MOMENT
from libs.store.readmodels.data_keys import DATA_KEYS

FAVOURITES = Table(
    "painter_favourites",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("generation_id", Text, primary_key=True),
    Column("created", MOMENT, nullable=False),
)
TEXTS = Table(
    "painter_texts",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("kid", Text, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("times", BigInteger, nullable=False),
    Column("used", MOMENT, nullable=False),
)
KEY = tuple(column.name for column in TEXTS.primary_key.columns)
ERASED = exists().where(
    DATA_KEYS.c.tenant == TEXTS.c.tenant,
    DATA_KEYS.c.kid == TEXTS.c.kid,
    DATA_KEYS.c.wrapped.is_(None),
)


@dataclass(frozen=True)
class TextRow:
    """A text that a user typed, sealed under `kid`; `digest` tells equal texts."""

    digest: str
    kid: str
    ciphertext: bytes
    times: int
    used: datetime


async def favour(
    connection: AsyncConnection, tenant: str, user_id: str, generation_id: str, now: datetime
) -> None:
    """Make a generation a favourite; one that is already stays so."""
    values = {
        "tenant": tenant,
        "user_id": user_id,
        "generation_id": generation_id,
        "created": now,
    }
    await connection.execute(insert(FAVOURITES).values(values).on_conflict_do_nothing())


async def unfavour(
    connection: AsyncConnection, tenant: str, user_id: str, generation_id: str
) -> None:
    """Make a generation one like all others."""
    await connection.execute(
        delete(FAVOURITES).where(
            FAVOURITES.c.tenant == tenant,
            FAVOURITES.c.user_id == user_id,
            FAVOURITES.c.generation_id == generation_id,
        )
    )


async def favourites(
    connection: AsyncConnection, tenant: str, user_id: str, among: Sequence[str]
) -> frozenset[str]:
    """Return which of some generations are favourites."""
    found = await connection.scalars(
        select(FAVOURITES.c.generation_id).where(
            FAVOURITES.c.tenant == tenant,
            FAVOURITES.c.user_id == user_id,
            FAVOURITES.c.generation_id.in_(among),
        )
    )
    return frozenset(found)


async def favourite_ids(
    connection: AsyncConnection, tenant: str, user_id: str, ids_max: int
) -> list[str]:
    """Return the newest favourites."""
    found = await connection.scalars(
        select(FAVOURITES.c.generation_id)
        .where(FAVOURITES.c.tenant == tenant, FAVOURITES.c.user_id == user_id)
        .order_by(FAVOURITES.c.created.desc())
        .limit(ids_max)
    )
    return list(found)


async def remember(
    connection: AsyncConnection, tenant: str, user_id: str, row: TextRow, kept_max: int
) -> None:
    """Keep a text, once, as the newest; the oldest beyond `kept_max` go."""
    values = {"tenant": tenant, "user_id": user_id, **asdict(row)}
    statement = insert(TEXTS).values(values)
    again = {
        "kid": statement.excluded.kid,
        "ciphertext": statement.excluded.ciphertext,
        "times": TEXTS.c.times + 1,
        "used": statement.excluded.used,
    }
    await connection.execute(statement.on_conflict_do_update(index_elements=KEY, set_=again))
    mine = (TEXTS.c.tenant == tenant) & (TEXTS.c.user_id == user_id)
    newest = select(TEXTS.c.digest).where(mine, ~ERASED).order_by(TEXTS.c.used.desc())
    await connection.execute(
        delete(TEXTS).where(mine, TEXTS.c.digest.not_in(newest.limit(kept_max)))
    )


async def texts(
    connection: AsyncConnection, tenant: str, user_id: str, rows_max: int
) -> list[TextRow]:
    """Return the texts of a user, newest first."""
    columns = [column for column in TEXTS.c if column.name not in ("tenant", "user_id")]
    found = await connection.execute(
        select(*columns)
        .where(TEXTS.c.tenant == tenant, TEXTS.c.user_id == user_id, ~ERASED)
        .order_by(TEXTS.c.used.desc())
        .limit(rows_max)
    )
    return [TextRow(**row) for row in found.mappings()]


async def forget(
    connection: AsyncConnection, tenant: str, user_id: str, digest: str | None = None
) -> int:
    """Take one text away, or all of them; return how many there were."""
    statement = delete(TEXTS).where(TEXTS.c.tenant == tenant, TEXTS.c.user_id == user_id)
    if digest is not None:
        statement = statement.where(TEXTS.c.digest == digest)
    return int((await connection.execute(statement)).rowcount)
