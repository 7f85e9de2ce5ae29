"""Who is asking, as far as Painter needs to know: a key to pass on, or none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import HTTPConnection

COOKIE: Final = "studio_token"


@dataclass(frozen=True)
class Caller:
    """Whoever a request is made for; Studio alone decides what the key is worth."""

    token: str = field(default="", repr=False)
    by_cookie: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """Return what is passed on to Studio, in the way that it came."""
        if self.by_cookie:
            return {"Cookie": f"{COOKIE}={self.token}"}
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def name(self) -> str:
        """Return a name for caches that does not tell the key."""
        way = "cookie" if self.by_cookie else "bearer"
        return hashlib.sha256(f"{way} {self.token}".encode()).hexdigest()


def caller_of(connection: HTTPConnection) -> Caller:
    """Return who is asking: the bearer's key, else the cookie's."""
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return Caller(_sendable(value.strip()))
    token = connection.cookies.get(COOKIE, "")
    return Caller(_sendable(token), by_cookie=True) if token else Caller()


def _sendable(token: str) -> str:
    """Return a key as a header can hold it; what none can hold is no key either."""
    return token if token.isascii() and token.isprintable() and ";" not in token else "?"
