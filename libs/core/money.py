"""Money: whole micro-dollars inside, credits only where people look."""

from __future__ import annotations

from typing import NewType

MicroDollars = NewType("MicroDollars", int)

MICROS_PER_DOLLAR = 1_000_000
MICROS_PER_CREDIT = 1_000  # One credit is a tenth of a cent (HIP-0018).


def credits_of(micros: int) -> float:
    """Return micro-dollars as credits."""
    return micros / MICROS_PER_CREDIT


def dollars_text(micros: int) -> str:
    """Render micro-dollars for a person, never in exponent form: `$0.000240`."""
    sign = "-" if micros < 0 else ""
    whole, part = divmod(abs(micros), MICROS_PER_DOLLAR)
    return f"{sign}${whole}.{part:06d}"
