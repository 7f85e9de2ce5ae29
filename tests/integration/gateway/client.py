"""A plain WebSocket client that reads frames."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection

PATIENCE_SECONDS = 60


@dataclass
class Client:
    """A plain client that reads frames."""

    socket: ClientConnection
    frames: list[dict[str, Any]] = field(default_factory=list)

    async def next(self) -> dict[str, Any]:
        """Return the next text frame."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        self.frames.append(frame)
        return frame

    async def until(self, kind: str, **data: Any) -> list[dict[str, Any]]:
        """Read up to a frame of that type with these facts; return all that came."""
        while True:
            frame = await self.next()
            found = all(frame["data"].get(name) == value for name, value in data.items())
            if frame["type"] == kind and found:
                return self.frames

    async def silent(self, seconds: float = 0.3) -> bool:
        """Say whether nothing comes for a while."""
        try:
            async with asyncio.timeout(seconds):
                await self.socket.recv()
        except TimeoutError:
            return True
        return False
