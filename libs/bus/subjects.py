"""Subjects and patterns: `*` stands for one token, a last `>` for one or more."""

from __future__ import annotations

import re

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
ALL_EVENTS = "evt.>"
EVENT_TOKENS = 5


def matches(pattern: str, subject: str) -> bool:
    """Say whether `subject` is one of those that `pattern` names."""
    wanted, found = pattern.split("."), subject.split(".")
    for place, part in enumerate(wanted):
        if part == ">":
            return len(found) > place
        if place >= len(found) or part not in ("*", found[place]):
            return False
    return len(wanted) == len(found)


def matches_any(patterns: tuple[str, ...], subject: str) -> bool:
    """Say whether one of `patterns` names `subject`; no patterns name everything."""
    return not patterns or any(matches(pattern, subject) for pattern in patterns)


def safe_token(text: str) -> str:
    """Return `text` in a form that can be a token of a subject."""
    return _UNSAFE.sub("_", text)[:64] or "_"


def tenant_in(subject: str) -> str:
    """Return the tenant that an event's subject names, or an empty string."""
    tokens = subject.split(".")
    return tokens[2] if len(tokens) == EVENT_TOKENS else ""
