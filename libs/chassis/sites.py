"""Which web pages may use a server that asks for no key: its own alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from libs.core.errors import Forbidden

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def refuse_other_sites(headers: Mapping[str, str], listens_on: str) -> None:
    """Raise Forbidden for a request that a browser makes by itself for another site.

    No page of ours ever does that. A name that only points at this machine is another site as
    well (DNS rebinding).
    """
    host = headers.get("host", "")
    if listens_on in LOOPBACK and _hostname(f"//{host}") not in LOOPBACK:
        raise Forbidden("this server answers to localhost only", field="Host")
    if headers.get("sec-fetch-site") == "cross-site":
        raise _of_another_site("Sec-Fetch-Site")
    # Only the browser itself can say same-origin; `null` is what sandboxed pages send.
    if not _is_ours(headers):
        raise _of_another_site("Origin")


def refuse_other_origins(headers: Mapping[str, str]) -> None:
    """Refuse what a browser does for a page that is not ours, as it says itself.

    Another port of the same machine is the same site to a browser, but another origin.
    """
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        raise _of_another_site("Sec-Fetch-Site")
    if not _is_ours(headers):
        raise _of_another_site("Origin")


def _is_ours(headers: Mapping[str, str]) -> bool:
    origin = headers.get("origin", "")
    same = headers.get("sec-fetch-site") == "same-origin"
    return not origin or same or _netloc(origin) == headers.get("host", "").lower()


def _of_another_site(field: str) -> Forbidden:
    return Forbidden("requests from other sites are refused", field=field)


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
