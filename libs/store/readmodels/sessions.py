"""Sessions: browsers that were logged in with an API key; only a digest of each token is kept."""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from typing import Final

from sqlalchemy import Column, ForeignKey, LargeBinary, Table, Text, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.store.metadata import METADATA, MOMENT
from libs.store.readmodels.api_keys import API_KEYS, ApiKeyRow, digest_of

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("key_id", Text, ForeignKey("api_keys.key_id"), nullable=False, index=True),
    Column("created", MOMENT, nullable=False),
    Column("expires", MOMENT, nullable=False),
)

SECRET_BYTES: Final = 32
TOKEN: Final = re.compile(r"session-[0-9a-f]{64}\Z")
# Browsers of one key; whoever logs in at more of them is logged out of the oldest.
OF_ONE_KEY_MAX: Final = 100


def is_session(token: str) -> bool:
    """Say whether a token has the form of a session's."""
    return TOKEN.match(token) is not None


async def begin(
    connection: AsyncConnection, key_id: str, *, now: datetime, expires: datetime
) -> str:
    """Begin a session of a key and return its token, which is kept nowhere."""
    token = f"session-{secrets.token_hex(SECRET_BYTES)}"
    older = select(SESSIONS.c.digest).where(SESSIONS.c.key_id == key_id)
    older = older.order_by(SESSIONS.c.created.desc()).offset(OF_ONE_KEY_MAX - 1)
    await connection.execute(
        delete(SESSIONS).where((SESSIONS.c.expires <= now) | SESSIONS.c.digest.in_(older))
    )
    values = {"digest": digest_of(token), "key_id": key_id, "created": now, "expires": expires}
    await connection.execute(insert(SESSIONS).values(**values))
    return token


async def key_of(connection: AsyncConnection, token: str, now: datetime) -> ApiKeyRow | None:
    """Return the key that a session stands for; None if either of them has ended."""
    query = (
        select(API_KEYS)
        .join(SESSIONS, SESSIONS.c.key_id == API_KEYS.c.key_id)
        .where(
            SESSIONS.c.digest == digest_of(token),
            SESSIONS.c.expires > now,
            API_KEYS.c.revoked.is_(None),
        )
    )
    row = (await connection.execute(query)).mappings().one_or_none()
    return ApiKeyRow(**row) if row else None


async def end(connection: AsyncConnection, token: str) -> None:
    """End a session; one that has ended already stays so."""
    await connection.execute(delete(SESSIONS).where(SESSIONS.c.digest == digest_of(token)))
