"""Identifiers: opaque tokens that are safe inside subjects and object keys."""

from __future__ import annotations

import re
from typing import NewType

from libs.core.errors import Refused

PromptId = NewType("PromptId", str)
TenantId = NewType("TenantId", str)
UserId = NewType("UserId", str)
AccountId = NewType("AccountId", str)
WorkerId = NewType("WorkerId", str)
EventId = NewType("EventId", str)

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")


def token(value: str, field: str) -> str:
    """Return `value` if it is an opaque token; raise Refused naming `field` otherwise."""
    if not TOKEN.match(value):
        raise Refused(
            f"{field} must be 1 to 64 characters of A-Z a-z 0-9 _ -", field=field, received=value
        )
    return value


def is_canonical_uuid(value: object) -> bool:
    """Say whether `value` is a lowercase hyphenated UUID, the only form clients may choose."""
    return isinstance(value, str) and bool(CANONICAL_UUID.match(value))


def account_of(user_id: str) -> AccountId:
    """Return the ledger account of a user: one account per user, ids are shared."""
    return AccountId(user_id)
