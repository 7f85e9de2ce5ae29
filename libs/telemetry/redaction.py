"""What no log line may hold: secrets, and words that people typed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from libs.core.errors import StudioError

MASK: Final = "***"
SECRET_CHARACTERS_MIN: Final = 8
PLACES_MAX: Final = 12
# API keys of the house, bearer headers, and the password in a URL.
SHAPES: Final = re.compile(
    r"sk-[A-Za-z0-9_-]{8,}|(?i:bearer\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|(?<=://)[^/@\s\"']*:[^/@\s\"']+(?=@)"
)


class Redaction:
    """Masks secrets in finished lines: those of this process, and whatever looks like one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {secret for secret in secrets if len(secret) >= SECRET_CHARACTERS_MIN}
        exact = "|".join(re.escape(secret) for secret in sorted(known, key=len, reverse=True))
        self._known = re.compile(exact) if exact else None

    def masked(self, line: str) -> str:
        """Return the line without secrets."""
        if self._known is not None:
            line = self._known.sub(MASK, line)
        return SHAPES.sub(MASK, line)


def words_of(error: BaseException) -> str:
    """Return an error's words if they are ours or the system's; those of values stay unsaid.

    A ValueError may quote what somebody typed, and a driver's error the row that it refused.
    """
    if isinstance(error, StudioError):
        return error.message
    if isinstance(error, OSError):
        return error.strerror or ""
    if isinstance(error, ImportError):
        return str(error)
    return ""


def places_of(error: BaseException) -> list[str]:
    """Return where an error passed through, the innermost last."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places[-PLACES_MAX:]


def told(error: BaseException) -> dict[str, object]:
    """Return what a log line says of an error and of what caused it."""
    account: dict[str, object] = {
        "error_type": type(error).__name__,
        "error_words": words_of(error),
        "error_at": places_of(error),
    }
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        account["cause_type"] = type(cause).__name__
        account["cause_words"] = words_of(cause)
        account["cause_at"] = places_of(cause)
    return {name: value for name, value in account.items() if value}
