"""HTTP as cheap as it can be: a client that is measured with its house must not eat its CPU."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self
from urllib.parse import urlsplit

ANSWER_SECONDS_MAX = 60.0
OK = 200


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
            head = await self._reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            answer = await self._reader.readexactly(size)
        return int(head.split(b" ", 2)[1]), answer

    async def submit(self, graph: dict[str, Any], client_id: str) -> str:
        """Hand a graph in; return its prompt id."""
        body = json.dumps({"prompt": graph, "client_id": client_id}).encode()
        status, answer = await self.post("/prompt", body)
        if status != OK:
            raise AssertionError(f"a submission was answered {status}: {answer.decode()}")
        return str(json.loads(answer)["prompt_id"])

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def socket_url(url: str, client_id: str) -> str:
    """Return where a client listens for its frames."""
    return f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}"


def ended_prompt(text: str | bytes) -> str:
    """Return the prompt whose terminal frame this is, or nothing."""
    if not isinstance(text, str) or '"type":"executing"' not in text[:64]:
        return ""
    data = json.loads(text)["data"]
    return str(data["prompt_id"]) if data.get("node") is None else ""
