"""Who is asking: an API key's user, or the one user of a machine of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from libs.chassis.sites import refuse_other_origins, refuse_other_sites
from libs.core.errors import Unauthorized
from libs.core.ids import account_of
from libs.store.readmodels.api_keys import PREFIX, key_id_of
from libs.store.readmodels.sessions import is_session
from services.gateway.domain.story import Owner
from services.gateway.settings import AuthMode

COOKIE: Final = "studio_token"


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


# Of the one user of a machine, and of whoever was given a key of this tier: they run the house.
OWNER_TIER: Final = "owner"
LOCAL: Final = Principal("local", "local", account_of("local"), OWNER_TIER)


class Keys(Protocol):
    """Where API keys are looked up."""

    async def key_holder(self, token: str) -> Principal | None:
        """Return whose key this is, if it is valid."""
        ...

    async def session_holder(self, token: str) -> Principal | None:
        """Return whose session this is, if it goes on."""
        ...


@dataclass(frozen=True)
class Gate:
    """Lets callers in. In mode `local` a caller without a key is the local user."""

    mode: AuthMode
    host: str
    keys: Keys

    async def principal(
        self,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        cookies: Mapping[str, str],
        *,
        acts: bool = True,
    ) -> Principal:
        """Return who is asking; Unauthorized when that is not known.

        `acts` says that the request does something, or opens a socket: a browser sends its
        cookie with those of other sites too, so they must come from our own pages.
        """
        self._refuse_other_sites(headers)
        token = _token(headers, query)
        by_cookie = not token
        token = token or cookies.get(COOKIE, "")
        if self.mode == "local" and not token.startswith(PREFIX):
            return LOCAL
        if not token:
            raise Unauthorized("An API key is needed: Authorization: Bearer sk-hanzo-...")
        if by_cookie and acts:
            refuse_other_origins(headers)
        if by_cookie and is_session(token):
            holder = await self.keys.session_holder(token)
        else:
            holder = await self.keys.key_holder(token) if key_id_of(token) else None
        if holder is None:
            raise Unauthorized("This API key is not valid")
        return holder

    def _refuse_other_sites(self, headers: Mapping[str, str]) -> None:
        """Keep web pages of other sites from using a server that asks for no key."""
        if self.mode == "local":
            refuse_other_sites(headers, self.host)


def _token(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return query.get("token") or ""
