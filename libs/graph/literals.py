"""What a literal may be: finite, bounded, and something every later store can hold."""

from __future__ import annotations

import math

from libs.core.jsonvalue import Json

NESTING_MAX = 32
INTEGER_BITS_MAX = 1024


def flaw(value: Json) -> str | None:
    """Say what is wrong with a literal, or None; never recurses, whatever the depth."""
    waiting: list[tuple[Json, int]] = [(value, 0)]
    while waiting:
        current, depth = waiting.pop()
        if depth > NESTING_MAX:
            return f"is nested deeper than {NESTING_MAX} levels"
        if isinstance(current, list):
            waiting.extend((item, depth + 1) for item in current)
        elif isinstance(current, dict):
            waiting.extend((key, depth) for key in current)
            waiting.extend((item, depth + 1) for item in current.values())
        else:
            found = _flaw_of_scalar(current)
            if found:
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
