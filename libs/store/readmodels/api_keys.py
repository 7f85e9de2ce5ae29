"""API keys: who may call as whom; only a digest of each token is kept."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Column, LargeBinary, Table, Text, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.store.metadata import METADATA, MOMENT

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("key_id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("created", MOMENT, nullable=False, server_default=text("now()")),
    Column("revoked", MOMENT),
)

PREFIX: Final = "sk-hanzo-"
ID_BYTES: Final = 6
SECRET_BYTES: Final = 24
TOKEN: Final = re.compile(r"sk-hanzo-([0-9a-f]{12})-([0-9a-f]{48})([0-9a-f]{8})\Z")


@dataclass(frozen=True)
class ApiKeyRow:
    """An API key without its secret."""

    key_id: str
    digest: bytes
    tenant: str
    user_id: str
    tier: str
    created: datetime
    revoked: datetime | None = None


def new_token() -> tuple[str, str]:
    """Make a token `sk-hanzo-<id>-<secret>`; return it with its id. It is shown once."""
    key_id = secrets.token_hex(ID_BYTES)
    secret = secrets.token_hex(SECRET_BYTES)
    return f"{PREFIX}{key_id}-{secret}{_checksum(key_id, secret)}", key_id


def key_id_of(token: str) -> str | None:
    """Return the id in a token, or None if it is mistyped or no token of ours."""
    found = TOKEN.match(token)
    if not found or found[3] != _checksum(found[1], found[2]):
        return None
    return found[1]


def digest_of(token: str) -> bytes:
    """Return what is kept of a token; the secret is random, so a plain digest tells nothing."""
    return hashlib.sha256(token.encode()).digest()


async def add(connection: AsyncConnection, *, tenant: str, user_id: str, tier: str) -> str:
    """Make a key for a user and return its token, which is kept nowhere."""
    token, key_id = new_token()
    values = {"key_id": key_id, "digest": digest_of(token)}
    await connection.execute(
        insert(API_KEYS).values(**values, tenant=tenant, user_id=user_id, tier=tier)
    )
    return token


async def find_by_digest(connection: AsyncConnection, digest: bytes) -> ApiKeyRow | None:
    """Return the key that may be used with that token, or None if there is none any more."""
    found = await connection.execute(
        select(API_KEYS).where(API_KEYS.c.digest == digest, API_KEYS.c.revoked.is_(None))
    )
    row = found.mappings().one_or_none()
    return ApiKeyRow(**row) if row else None


async def revoke(connection: AsyncConnection, key_id: str) -> bool:
    """End a key; False if there is none or it has ended."""
    found = await connection.execute(
        update(API_KEYS)
        .where(API_KEYS.c.key_id == key_id, API_KEYS.c.revoked.is_(None))
        .values(revoked=func.now())
    )
    return bool(found.rowcount)


async def all_keys(connection: AsyncConnection) -> list[ApiKeyRow]:
    """Return all keys, the ended ones too, oldest first."""
    found = await connection.execute(
        select(API_KEYS).order_by(API_KEYS.c.created, API_KEYS.c.key_id)
    )
    return [ApiKeyRow(**row) for row in found.mappings()]


def _checksum(key_id: str, secret: str) -> str:
    # It tells a typing error from a wrong key without asking the database; no secret is in it.
    return f"{zlib.crc32(f'{key_id}-{secret}'.encode()):08x}"
