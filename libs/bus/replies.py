"""How an answer to an ask says that it is a failure; both buses speak it."""

from __future__ import annotations

from collections.abc import Mapping

from libs.core.errors import Refused, StudioError, Unavailable

FAILURE = "Studio-Failure"
MESSAGE = "Studio-Message"


def failure_headers(error: Exception) -> dict[str, str]:
    """Return the headers of an answer that reports `error`."""
    if isinstance(error, Refused):
        return {FAILURE: error.kind, MESSAGE: " ".join(error.message.split())}
    if isinstance(error, StudioError):
        return {FAILURE: "unavailable", MESSAGE: " ".join(error.message.split())}
    return {FAILURE: "unavailable", MESSAGE: f"the one asked failed: {type(error).__name__}"}


def raise_failure(headers: Mapping[str, str], subject: str) -> None:
    """Raise what the answerer reported, if it reported a failure."""
    kind = headers.get(FAILURE)
    if kind is None:
        return
    message = headers.get(MESSAGE, "the one asked failed")
    if kind == "unavailable":
        raise Unavailable(message, subject=subject)
    raise Refused(message, kind=kind, subject=subject)
