"""Pictures from strangers' addresses: public ones only, bounded, and pictures by content."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from libs.core.errors import Refused
from services.painter.caller import Caller
from services.painter.fetching import Fetcher, is_public, resolve
from services.painter.pictures import Pictures

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 40
WHO = Caller()
PRIVATE = (
    *("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1"),
    *("240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1"),
    *("fd12:3456::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::1", "not an address"),
)


@dataclass
class Web:
    """A server of one answer for each path, and what it was asked."""

    port: int = 0
    answers: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        writer.write(self.answers.get(head.split()[1], b"HTTP/1.1 404 No\r\n\r\n"))
        await writer.drain()
        writer.close()


@asynccontextmanager
async def web(**answers: bytes) -> AsyncIterator[Web]:
    found = Web(answers={f"/{name}": answer for name, answer in answers.items()})
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


def answer(body: bytes = PNG, kind: str = "image/png") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def moved(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


async def here(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


def fetcher(bytes_max: int = 1_000, seconds: float = 5.0) -> Fetcher:
    """Return a fetcher that may reach this machine, by whatever name it has."""
    return Fetcher(bytes_max, seconds, here, lambda address, _port: address == "127.0.0.1")


async def refused(fetching: Fetcher, url: str) -> Refused:
    with pytest.raises(Refused) as raised:
        await fetching.fetch("reference_image", url)
    assert raised.value.facts["field"] == "reference_image"
    assert 400 <= raised.value.status < 500
    return raised.value


@pytest.mark.covers("R238")
@pytest.mark.parametrize("address", PRIVATE)
def test_no_address_inside_is_public(address: str):
    assert not is_public(address, 443)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111"])
def test_addresses_of_the_open_network_are_public_on_the_ports_of_the_web(address: str):
    assert is_public(address, 80)
    assert is_public(address, 443)
    assert not is_public(address, 22)


@pytest.mark.covers("R238")
@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/x.png", "http://127.0.0.1/x", "http://127.1/x", "http://0x7f000001/",
        "http://2130706433/", "http://[::1]/x", "http://[::ffff:127.0.0.1]/x", "http://0/",
        "http://169.254.169.254/latest/meta-data/", "https://10.0.0.1:8188/", "ftp://example.org/x",
        "file:///etc/passwd", "http://user:secret@93.184.216.34/", "http://", "http://[::1", "gopher://x/",
        "http://" + "a" * 3_000, "http://exa mple.org/", "http://93.184.216.34:22/",
    ],
)  # fmt: skip
async def test_nothing_inside_is_asked_however_it_is_spelled(url: str):
    await refused(Fetcher(1_000, 5.0, resolve, is_public), url)


async def test_a_name_of_which_one_address_is_inside_is_not_asked():
    async def both(_host: str, _port: int) -> list[str]:
        return ["93.184.216.34", "127.0.0.1"]

    error = await refused(Fetcher(1_000, 5.0, both, is_public), "http://two.example/x.png")
    assert "127" not in error.message


async def test_the_address_that_was_judged_is_the_one_that_is_asked_under_the_name():
    asked: list[str] = []

    async def once(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    async with web(pic=answer()) as found:
        fetching = Fetcher(1_000, 5.0, once, lambda address, _port: address == "127.0.0.1")
        url = f"http://pictures.example:{found.port}/pic"
        assert await fetching.fetch("reference_image", url) == PNG
    assert asked == ["pictures.example"]
    assert f"host: pictures.example:{found.port}" in found.asked[0].lower()


async def test_a_redirect_is_judged_like_an_address_of_its_own():
    async with web(pic=moved("http://169.254.169.254/latest"), there=answer()) as found:
        root = f"http://pictures.example:{found.port}"

        async def by_name(host: str, _port: int) -> list[str]:
            return ["127.0.0.1" if host == "pictures.example" else host]

        fetching = Fetcher(1_000, 5.0, by_name, lambda address, _port: address == "127.0.0.1")
        error = await refused(fetching, f"{root}/pic")
        assert "may not be reached" in error.message
        found.answers["/pic"] = moved("/there")
        assert await fetching.fetch("reference_image", f"{root}/pic") == PNG


async def test_redirects_end():
    async with web(pic=moved("/pic")) as found:
        error = await refused(fetcher(), f"http://round.example:{found.port}/pic")
    assert error.facts["limit"] == 3


@pytest.mark.covers("R376")
async def test_a_picture_is_read_no_further_than_its_limit():
    async with web(pic=answer(PNG + b"x" * 2_000)) as found:
        error = await refused(fetcher(), f"http://large.example:{found.port}/pic")
    assert (error.status, error.facts["limit"]) == (413, 1_000)


async def test_a_page_is_no_picture():
    async with web(pic=answer(b"<html>", "text/html")) as found:
        error = await refused(fetcher(), f"http://page.example:{found.port}/pic")
    assert error.status == 415


async def test_a_server_that_says_nothing_is_not_waited_for():
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    error = await refused(fetcher(seconds=0.2), f"http://slow.example:{port}/pic")
    assert "too long" in error.message
    server.close()


async def test_a_server_that_is_not_there_is_said_to_be_silent():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await refused(fetcher(), f"http://gone.example:{port}/pic")
    assert "does not answer" in error.message


class Studio:
    """Keeps what is uploaded."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def upload(self, _caller: Caller, name: str, data: bytes) -> str:
        self.kept[name] = data
        return name


def pictures(bytes_max: int = 1_000) -> tuple[Pictures, Studio]:
    studio = Studio()
    return Pictures(studio, None, bytes_max), studio  # type: ignore[arg-type]


@pytest.mark.covers("R238", "R239")
async def test_base64_is_kept_once_however_it_is_written():
    keeping, studio = pictures()
    bare = base64.b64encode(PNG).decode()
    names = {await keeping.keep(WHO, "control_image", text) for text in (
        bare, f"data:image/png;base64,{bare}",
    )}  # fmt: skip
    assert studio.kept == {names.pop(): PNG}
    (name,) = studio.kept
    assert await keeping.keep(WHO, "control_image", f"upload:{name}") == name


@pytest.mark.covers("R377")
@pytest.mark.parametrize("data", [b"GIF89a....", b"<svg/>", b"", b"%PDF-1.7"])
async def test_what_is_no_picture_by_content_is_refused(data: bytes):
    keeping, _ = pictures()
    with pytest.raises(Refused) as raised:
        await keeping.keep(WHO, "control_image", base64.b64encode(data).decode() or "====")
    assert raised.value.status in (400, 415)


@pytest.mark.parametrize(
    "text",
    ["upload:../../etc/passwd", "upload:x.png", "not base64!", "data:text/html;base64,aGk=", "ä"],
)
async def test_a_text_that_names_no_picture_is_refused(text: str):
    keeping, studio = pictures()
    with pytest.raises(Refused) as raised:
        await keeping.keep(WHO, "control_image", text)
    assert (raised.value.status, raised.value.facts["field"]) == (400, "control_image")
    assert not studio.kept


@pytest.mark.covers("R376")
async def test_a_picture_has_a_largest_size():
    keeping, _ = pictures(bytes_max=48)
    assert await keeping.keep(WHO, "mask", base64.b64encode(PNG).decode())
    with pytest.raises(Refused) as raised:
        await keeping.keep(WHO, "mask", base64.b64encode(PNG + b"x").decode())
    assert (raised.value.status, raised.value.facts["limit"]) == (413, 48)


async def test_urls_may_be_switched_off():
    keeping, _ = pictures()
    with pytest.raises(Refused, match="not fetched"):
        await keeping.keep(WHO, "reference_image", "https://example.org/x.png")
