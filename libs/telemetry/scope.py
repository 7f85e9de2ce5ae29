"""Whose work is done at this moment: the service, the trace, and the prompt."""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from typing import Final, NamedTuple

# Version 00 of W3C Trace Context; a later version may add fields, which are read past.
TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
TRACEPARENT_CHARACTERS_MAX: Final = 512
TRACE_ID: Final = slice(3, 35)
SPAN_ID: Final = slice(36, 52)
FLAGS: Final = slice(53, 55)
SAMPLED: Final = 1


class Scope(NamedTuple):
    """What log lines and spans are about; empty texts where nothing is known."""

    trace: str = ""
    tenant: str = ""
    prompt_id: str = ""


NOWHERE: Final = Scope()
SCOPE: Final[ContextVar[Scope]] = ContextVar("scope", default=NOWHERE)
SERVICE: Final[ContextVar[str]] = ContextVar("service", default="")


def new_traceparent() -> str:
    """Return the start of a trace that is carried and not recorded."""
    made = os.urandom(24).hex()
    return f"00-{made[:32]}-{made[32:]}-00"


def valid_traceparent(text: str) -> str:
    """Return what a stranger sent if it is a traceparent, in version 00; else nothing."""
    if len(text) > TRACEPARENT_CHARACTERS_MAX or not TRACEPARENT.fullmatch(text):
        return ""
    return f"00{text[2:55]}"


def trace_id(traceparent: str) -> str:
    """Return the trace of a traceparent."""
    return traceparent[TRACE_ID]


def is_sampled(traceparent: str) -> bool:
    """Say whether whoever began the trace wants it recorded."""
    flags = traceparent[FLAGS]
    return bool(flags) and bool(int(flags, 16) & SAMPLED)
