"""HTTP and WebSocket as cheap as they can be: a client must not eat the CPU of what it measures."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

ANSWER_SECONDS_MAX = 60.0
OK, BUSY = 200, 503
END_OF_HEAD = b"\r\n\r\n"
TEXT_FRAME, CLOSE_FRAME = 1, 8
# A frame's second byte is its length, or says how many bytes of length follow.
LONGER_LENGTHS = {126: 2, 127: 8}


class Wire:
    """One kept-alive connection; one request at a time."""

    def __init__(
        self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._host = host
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to the host of `url`."""
        parts = urlsplit(url)
        return cls(parts.netloc, *await asyncio.open_connection(parts.hostname, parts.port))

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Send `body` as JSON; return status and body of the answer."""
        self._writer.write(
            f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            head = await self._reader.readuntil(END_OF_HEAD)
            size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            answer = await self._reader.readexactly(size)
        return int(head.split(b" ", 2)[1]), answer

    async def submit(self, graph: dict[str, Any], client_id: str) -> str:
        """Hand a graph in; return its prompt id, or nothing if the house is too busy for it."""
        body = json.dumps({"prompt": graph, "client_id": client_id}).encode()
        status, answer = await self.post("/prompt", body)
        if status == BUSY:
            return ""
        if status != OK:
            raise AssertionError(f"a submission was answered {status}: {answer.decode()}")
        return str(json.loads(answer)["prompt_id"])

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


class Listener(asyncio.Protocol):
    """A WebSocket that only listens: `hear` gets each text; `lost` is set when it was closed."""

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self.lost = asyncio.Event()
        self._hear = hear
        self._buffer = b""
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.BaseTransport | None = None

    @classmethod
    async def open(
        cls, url: str, client_id: str, hear: Callable[[bytes], None], since: int | None = None
    ) -> Self:
        """Connect as `client_id` and wait until the server agrees; go on behind `since`."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        transport, listener = await loop.create_connection(
            lambda: cls(hear), str(parts.hostname), parts.port or 80
        )
        listener._transport = transport
        on = "" if since is None else f"&since={since}"
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        transport.write(
            f"GET /ws?clientId={client_id}{on} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await listener._opened
        return listener

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._opened.done():
            head, end, rest = self._buffer.partition(END_OF_HEAD)
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self._opened.set_exception(AssertionError(f"no WebSocket: {head.decode()}"))
                return
            self._buffer = rest
            self._opened.set_result(None)
        self._take_frames()

    def connection_lost(self, _why: Exception | None) -> None:
        self.lost.set()
        if not self._opened.done():
            self._opened.set_exception(AssertionError("the server hung up"))

    def _take_frames(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) >= at + 2:
            size, body = buffer[at + 1], at + 2
            if size in LONGER_LENGTHS:
                body += LONGER_LENGTHS[size]
                size = int.from_bytes(buffer[at + 2 : body], "big")
            if len(buffer) < body + size:
                break
            kind, at = buffer[at] & 15, body + size
            if kind == TEXT_FRAME:
                self._hear(buffer[body:at])
            elif kind == CLOSE_FRAME:
                self.lost.set()
        self._buffer = buffer[at:]


def ended_prompt(text: bytes) -> str:
    """Return the prompt whose terminal frame this is, or nothing."""
    if b'"executing"' not in text:
        return ""
    frame = json.loads(text)
    ended = frame["type"] == "executing" and frame["data"].get("node") is None
    return str(frame["data"]["prompt_id"]) if ended else ""
