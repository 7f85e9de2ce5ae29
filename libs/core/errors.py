"""The error family of the house.

StudioError
├── Refused          the caller asked for something the rules forbid (4xx, never retried)
│   ├── NotFound     it does not exist, or not for this caller
│   ├── Unauthorized who is asking is not known
│   └── Forbidden    who is asking is known and may not
├── Unavailable      it did not work this time; the same message is tried again
│   └── Conflict     somebody else wrote first; a lost race is never acked as a refusal
├── Poisoned         this message can never succeed; it is set aside for a person
└── Misconfigured    the process cannot start as it was set up; says what to change
"""

from __future__ import annotations

from typing import ClassVar


class StudioError(Exception):
    """Root of everything the house raises on purpose; carries facts, not prose."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, /, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    def __str__(self) -> str:
        if not self.facts:
            return self.message
        shown = ", ".join(f"{name}={value!r}" for name, value in self.facts.items())
        return f"{self.message} ({shown})"


class Refused(StudioError):
    """The rules forbid it; asking again will not help.

    `kind` overrides the wire code and `status` the HTTP status where a dialect fixes them.
    """

    code = "refused"
    http_status = 400

    def __init__(
        self, message: str, /, *, kind: str = "", status: int = 0, **facts: object
    ) -> None:
        super().__init__(message, **facts)
        self.kind = kind or self.code
        self.status = status or self.http_status


class NotFound(Refused):
    """There is no such thing, or not for this caller."""

    code = "not_found"
    http_status = 404


class Unauthorized(Refused):
    """Who is asking is not known."""

    code = "unauthorized"
    http_status = 401


class Forbidden(Refused):
    """Who is asking is known, and may not."""

    code = "forbidden"
    http_status = 403


class Unavailable(StudioError):
    """It did not work this time; the same thing may be tried again."""

    code = "unavailable"
    http_status = 503


class Conflict(Unavailable):
    """Somebody else wrote first; load and decide again."""

    code = "conflict"
    http_status = 409


class Poisoned(StudioError):
    """This message can never succeed; it goes to the dead-letter stream."""

    code = "poisoned"


class Misconfigured(StudioError):
    """The process cannot start as it was set up."""

    code = "misconfigured"
