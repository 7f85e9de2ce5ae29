"""GET and POST /login, POST /logout: a browser that has no way to send a key gets a cookie."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from libs.chassis.sites import refuse_other_origins
from libs.core.errors import Unauthorized
from services.gateway.auth import COOKIE, Principal
from services.gateway.gateway import Gateway
from services.gateway.http import read_body
from services.gateway.openapi import operations as told
from services.gateway.routes.page import PAGES, page_of
from services.gateway.routes.table import Route

FORM_BYTES_MAX: Final = 4_096
SEE_OTHER: Final = 303
TEXT: Final = "<p class='quiet'>{text}</p>"
WRONG: Final = "<p role='alert' class='wrong'>{text}</p>"
NO_LOGIN: Final = "This server is for one person on this machine: there is nothing to log in to."
WRONG_KEY: Final = "This is not a valid API key. It may be mistyped, or it has been revoked."
TOO_OFTEN: Final = "Too many wrong keys from your address. Try again in {seconds} seconds."


@dataclass(frozen=True)
class LoginRoutes:
    """The page works without scripts; the key is sent once and never kept in the browser."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (
            Route("GET", "/login", self.page, told.LOGIN_PAGE, api=False),
            Route("POST", "/login", self.log_in, told.LOGIN, api=False),
            Route("POST", "/logout", self.log_out, told.LOGOUT, api=False),
        )

    async def page(self, request: Request) -> Response:
        """Ask for an API key, or say who is logged in."""
        if self.gateway.settings.auth == "local":
            return _shown(TEXT.format(text=NO_LOGIN), "none")
        try:
            who = await self.gateway.who(request)
        except Unauthorized:
            return _shown("", "login")
        return _shown(_known(who), "logout")

    async def log_in(self, request: Request) -> Response:
        """Take an API key, begin a session and show the editor; the cookie is not the key."""
        refuse_other_origins(request.headers)
        if self.gateway.settings.auth == "local":
            return _shown(TEXT.format(text=NO_LOGIN), "none")
        logins, address = self.gateway.logins, request.client.host if request.client else ""
        if seconds := logins.locked_seconds(address):
            headers = {"Retry-After": str(seconds)}
            return _shown(_wrong(TOO_OFTEN.format(seconds=seconds)), "login", 429, headers)
        form = parse_qs((await read_body(request, FORM_BYTES_MAX, "the form")).decode("latin-1"))
        token = await logins.begin(form.get("key", [""])[0].strip(), address)
        if token is None:
            return _shown(_wrong(WRONG_KEY), "login", 401)
        answer = RedirectResponse("/", SEE_OTHER)
        answer.set_cookie(
            COOKIE,
            token,
            max_age=logins.lasts_seconds,
            httponly=True,
            samesite="lax",
            secure=_by_https(request),
        )
        return answer

    async def log_out(self, request: Request) -> Response:
        """End the session and forget the cookie."""
        refuse_other_origins(request.headers)
        await self.gateway.logins.end(request.cookies.get(COOKIE, ""))
        local = self.gateway.settings.auth == "local"
        answer = _shown(TEXT.format(text=NO_LOGIN), "none") if local else _to_login()
        answer.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=_by_https(request))
        return answer


def _to_login() -> Response:
    return RedirectResponse("/login", SEE_OTHER)


def _by_https(request: Request) -> bool:
    """Say whether the browser came by https, be it to a proxy in front of us."""
    origin = urlsplit(request.headers.get("origin", "")).scheme
    return "https" in (request.url.scheme, origin)


def _known(who: Principal) -> str:
    user, tenant = html.escape(who.user_id), html.escape(who.tenant)
    return TEXT.format(text=f"You are logged in as <b>{user}</b> of <b>{tenant}</b>.")


def _wrong(text: str) -> str:
    return WRONG.format(text=html.escape(text))


def _shown(
    words: str, part: str, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return the page with one of its forms: `login`, `logout` or `none`."""
    page = (PAGES / "login.html").read_text(encoding="utf-8")
    page = page.replace("{words}", words).replace("{part}", part)
    answer = page_of(page.encode(), status=status)
    answer.headers.update({"Cache-Control": "no-store", **(headers or {})})
    return answer
