"""Who is asking: an API key's user, or the one user of a machine of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from libs.core.errors import Forbidden, Unauthorized
from libs.core.ids import account_of
from libs.store.readmodels.api_keys import PREFIX, key_id_of
from services.gateway.domain.story import Owner
from services.gateway.settings import AuthMode

COOKIE: Final = "studio_token"
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Principal:
    """Whoever a request is made for."""

    tenant: str
    user_id: str
    account: str
    tier: str

    @property
    def owner(self) -> Owner:
        """Return the pair that everything of this caller is kept under."""
        return (self.tenant, self.user_id)


LOCAL: Final = Principal("local", "local", account_of("local"), "owner")


class Keys(Protocol):
    """Where API keys are looked up."""

    async def key_holder(self, token: str) -> Principal | None:
        """Return whose key this is, if it is valid."""
        ...


@dataclass(frozen=True)
class Gate:
    """Lets callers in. In mode `local` a caller without a key is the local user."""

    mode: AuthMode
    host: str
    keys: Keys

    async def principal(
        self, headers: Mapping[str, str], query: Mapping[str, str], cookies: Mapping[str, str]
    ) -> Principal:
        """Return who is asking; Unauthorized when that is not known."""
        self._refuse_other_sites(headers)
        token = _token(headers, query, cookies)
        if self.mode == "local" and not token.startswith(PREFIX):
            return LOCAL
        if not token:
            raise Unauthorized("An API key is needed: Authorization: Bearer sk-hanzo-...")
        holder = await self.keys.key_holder(token) if key_id_of(token) else None
        if holder is None:
            raise Unauthorized("This API key is not valid")
        return holder

    def _refuse_other_sites(self, headers: Mapping[str, str]) -> None:
        """Keep web pages of other sites from using a server that asks for no key.

        A browser sends such requests by itself; no page of ours ever does. A name that only
        points at this machine is another site as well (DNS rebinding).
        """
        if self.mode != "local":
            return
        host = headers.get("host", "")
        origin = headers.get("origin", "")
        if self.host in LOOPBACK and _hostname(f"//{host}") not in LOOPBACK:
            raise Forbidden("this server answers to localhost only", field="Host")
        if headers.get("sec-fetch-site") == "cross-site":
            raise Forbidden("requests from other sites are refused", field="Sec-Fetch-Site")
        # Only the browser itself can say same-origin; `null` is what sandboxed pages send.
        ours = headers.get("sec-fetch-site") == "same-origin" or _netloc(origin) == host.lower()
        if origin and not ours:
            raise Forbidden("requests from other sites are refused", field="Origin")


def _token(headers: Mapping[str, str], query: Mapping[str, str], cookies: Mapping[str, str]) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return query.get("token") or cookies.get(COOKIE, "")


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _netloc(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
