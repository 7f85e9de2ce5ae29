"""What PostgreSQL cannot keep: texts and documents with a zero character in them."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import BaseModel

NUL = "\0"
NUL_IN_JSON = b"\\u0000"


def without_nul(text: str) -> str:
    """Return `text` without the one character that no text column takes."""
    return text.replace(NUL, "") if NUL in text else text


def to_json(value: Any) -> str:
    """Return a document as JSON that a column takes."""
    dumped = orjson.dumps(value, default=_fields)
    if NUL_IN_JSON in dumped:
        dumped = orjson.dumps(_cleaned(orjson.loads(dumped)))
    return dumped.decode()


def _fields(value: object) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        return value.__dict__
    raise TypeError(f"{type(value).__name__} is no part of a document")


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return without_nul(value)
    if isinstance(value, dict):
        return {without_nul(key): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return value
