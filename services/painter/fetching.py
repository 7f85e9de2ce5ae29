"""Fetching a picture from an address that a stranger wrote: public addresses only, all bounded.

A name is resolved once, every address that it has is judged, and the connection goes to the one
that was judged, so that a name that changes its mind reaches nothing inside (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from libs.core.errors import Refused
from services.painter import metrics
from services.painter.errors import invalid

if TYPE_CHECKING:
    import httpx

REDIRECTS_MAX: Final = 3
URL_CHARACTERS_MAX: Final = 2_000
PORTS: Final = {"http": 80, "https": 443}
REDIRECTING: Final = frozenset({301, 302, 303, 307, 308})
# Translated to IPv4 inside, wherever that then is.
TRANSLATED: Final = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48")))
CHUNK_BYTES: Final = 65_536

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True)
class Fetcher:
    """`resolve` and `may_reach` are the system's and ours, but for tests."""

    bytes_max: int
    seconds: float
    resolve: Resolve
    may_reach: Callable[[str, int], bool]

    async def fetch(self, field: str, url: str) -> bytes:
        """Return what lies at a URL; Refused naming `field` for whatever goes wrong."""
        try:
            async with asyncio.timeout(self.seconds):
                data = await self._follow(field, url)
        except TimeoutError as error:
            metrics.FETCHED.labels("slow").inc()
            raise _not_fetched(field, "it took too long", self.seconds) from error
        except Refused:
            metrics.FETCHED.labels("refused").inc()
            raise
        metrics.FETCHED.labels("fetched").inc()
        return data

    async def _follow(self, field: str, url: str) -> bytes:
        import httpx

        async with httpx.AsyncClient(trust_env=False, follow_redirects=False) as client:
            for _ in range(REDIRECTS_MAX + 1):
                try:
                    found = await self._ask(client, field, url)
                except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
                    raise _not_fetched(field, "its server does not answer") from error
                if isinstance(found, bytes):
                    return found
                url = found
        raise _not_fetched(field, "it leads on and on", REDIRECTS_MAX)

    async def _ask(self, client: httpx.AsyncClient, field: str, url: str) -> bytes | str:
        """Return the bytes, or where they are said to be."""
        import httpx

        asked = _url(field, url)
        host = asked.host
        port = asked.port or PORTS[asked.scheme]
        address = await self._address(field, host, port)
        request = client.build_request(
            "GET",
            asked.copy_with(host=address),
            headers={
                "Host": asked.netloc.decode(),
                "Accept": "image/*",
                "Accept-Encoding": "identity",
            },
            extensions={"sni_hostname": host},
            timeout=self.seconds,
        )
        answer = await client.send(request, stream=True)
        try:
            if answer.status_code in REDIRECTING:
                return str(asked.join(answer.headers.get("location", "")))
            if answer.status_code != httpx.codes.OK:
                raise _not_fetched(field, f"its server answers {answer.status_code}")
            return await self._read(field, answer)
        finally:
            await answer.aclose()

    async def _read(self, field: str, answer: httpx.Response) -> bytes:
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind and not kind.startswith("image/") and kind != "application/octet-stream":
            raise Refused(
                f"{field}: there is no picture at this URL.",
                kind="unsupported_media_type",
                status=415,
                field=field,
            )
        data = bytearray()
        async for chunk in answer.aiter_raw(CHUNK_BYTES):
            data += chunk
            if len(data) > self.bytes_max:
                raise Refused(
                    f"{field} has more than {self.bytes_max} bytes.",
                    kind="too_large",
                    status=413,
                    field=field,
                    limit=self.bytes_max,
                )
        return bytes(data)

    async def _address(self, field: str, host: str, port: int) -> str:
        try:
            found = await self.resolve(host, port)
        except OSError as error:
            raise _not_fetched(field, "there is no such server") from error
        if not found or not all(self.may_reach(address, port) for address in found):
            # Which address it is stays unsaid: nobody maps our network with this.
            raise _not_fetched(field, "its address may not be reached from here")
        return f"[{found[0]}]" if ":" in found[0] else found[0]


def is_public(address: str, port: int) -> bool:
    """Say whether an address is one of the open network, on a usual port of the web."""
    try:
        found: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if inner is not None and not _is_open(inner):
            return False
        if any(found in network for network in TRANSLATED):
            return False
    return port in PORTS.values() and _is_open(found)


async def resolve(host: str, port: int) -> list[str]:
    """Return every address that a name has."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(item[4][0]) for item in found]


def _is_open(address: Address) -> bool:
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )


def _url(field: str, url: str) -> httpx.URL:
    import httpx

    if len(url) > URL_CHARACTERS_MAX:
        words = f"{field}: the URL has more than {URL_CHARACTERS_MAX} characters."
        raise invalid(field, words, limit=URL_CHARACTERS_MAX)
    asked = httpx.URL(url)
    if asked.scheme not in PORTS or not asked.host or asked.userinfo:
        raise invalid(field, f"{field}: the URL must be http or https, without a user.")
    return asked


def _not_fetched(field: str, why: str, limit: float | None = None) -> Refused:
    facts = {} if limit is None else {"limit": limit}
    words = f"{field}: the picture could not be fetched, {why}."
    return Refused(words, kind="image_not_fetched", status=400, field=field, **facts)
