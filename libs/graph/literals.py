"""What a literal may be: finite, bounded, and something every later store can hold."""

from __future__ import annotations

import math

from libs.core.jsonvalue import Json, JsonObject

NESTING_MAX = 32
# Said once: a union written where it is used is built anew for each of thousands of literals.
CONTAINERS = (list, dict)
INTEGER_BITS_MAX = 1024


def flaw(value: Json) -> str | None:
    """Say what is wrong with a literal, or None; never recurses, whatever the depth."""
    if not isinstance(value, CONTAINERS):
        return _flaw_of_scalar(value)
    waiting: list[tuple[list[Json] | JsonObject, int]] = [(value, 1)]
    while waiting:
        container, depth = waiting.pop()
        keys = container if isinstance(container, dict) else ()
        items = container.values() if isinstance(container, dict) else container
        if items and depth > NESTING_MAX:
            return f"is nested deeper than {NESTING_MAX} levels"
        for item in (*keys, *items):
            if isinstance(item, CONTAINERS):
                waiting.append((item, depth + 1))
            elif found := _flaw_of_scalar(item):
                return found
    return None


def _flaw_of_scalar(value: Json) -> str | None:
    if isinstance(value, str):
        return flaw_of_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "is NaN or Infinity, which are no JSON numbers"
    if isinstance(value, int) and value.bit_length() > INTEGER_BITS_MAX:
        return f"is an integer of more than {INTEGER_BITS_MAX} bits"
    return None


def flaw_of_text(text: str) -> str | None:
    """Say why a text cannot be stored as UTF-8 everywhere, or None."""
    if "\0" in text:
        return "holds a NUL character"
    if text.isascii():
        return None
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "holds half of a surrogate pair"
    return None
