"""Open WebSockets: who is connected, and a bounded line of frames for each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from libs.core.errors import Unavailable
from libs.core.jsonvalue import JsonObject
from services.gateway.domain.frames import Frame, status
from services.gateway.domain.story import Owner


class Socket:
    """One client's line of frames; a client that does not keep up is dropped, never waited for."""

    def __init__(self, owner: Owner, client_id: str, frames_max: int) -> None:
        self.owner = owner
        self.client_id = client_id
        self._line: asyncio.Queue[str] = asyncio.Queue(frames_max)
        self._gone = asyncio.Event()
        self.reason = ""

    def send(self, text: str) -> None:
        """Put a frame at the end of the line."""
        try:
            self._line.put_nowait(text)
        except asyncio.QueueFull:
            self.drop("too slow")

    def drop(self, reason: str) -> None:
        """Give the client up."""
        self.reason = self.reason or reason
        self._gone.set()

    async def next(self) -> str | None:
        """Return the next frame, or None when the client was given up."""
        if self._gone.is_set():
            return None
        if not self._line.empty():
            return self._line.get_nowait()
        taking = asyncio.ensure_future(self._line.get())
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait({taking, gone}, return_when=asyncio.FIRST_COMPLETED)
            return taking.result() if taking.done() and not self._gone.is_set() else None
        finally:
            taking.cancel()
            gone.cancel()


@dataclass
class Hub:
    """Sockets by owner and client id; owners by tenant."""

    sockets_max: int
    frames_max: int
    _sockets: dict[Owner, dict[str, Socket]] = field(default_factory=dict)
    _owners: dict[str, set[Owner]] = field(default_factory=dict)
    _count: int = 0

    def __len__(self) -> int:
        return self._count

    def join(self, owner: Owner, client_id: str) -> Socket:
        """Let a client in; an older socket of the same owner and id is replaced."""
        mine = self._sockets.setdefault(owner, {})
        if client_id not in mine and self._count >= self.sockets_max:
            raise Unavailable("too many open sockets", limit=self.sockets_max)
        before = mine.pop(client_id, None)
        if before is not None:
            self._count -= 1
            before.drop("replaced by a newer socket")
        socket = Socket(owner, client_id, self.frames_max)
        mine[client_id] = socket
        self._count += 1
        self._owners.setdefault(owner[0], set()).add(owner)
        return socket

    def leave(self, socket: Socket) -> None:
        """Forget a socket, unless a newer one has taken its place."""
        mine = self._sockets.get(socket.owner, {})
        if mine.get(socket.client_id) is not socket:
            return
        del mine[socket.client_id]
        self._count -= 1
        if not mine:
            del self._sockets[socket.owner]
            self._owners[socket.owner[0]].discard(socket.owner)
            if not self._owners[socket.owner[0]]:
                del self._owners[socket.owner[0]]

    def tell(self, owner: Owner, client_id: str, frames: Iterable[Frame]) -> None:
        """Send frames to the one client that they are for, if it is here."""
        socket = self._sockets.get(owner, {}).get(client_id) if client_id else None
        if socket is not None:
            for frame in frames:
                socket.send(text_of(frame))

    def tell_status(self, tenant: str, remaining: Callable[[Owner], int], seq: int) -> None:
        """Tell every socket of a tenant how many prompts its own user has open."""
        for owner in self._owners.get(tenant, ()):
            told = status(remaining(owner))
            text = text_of(Frame(told.type, told.data, seq))
            for socket in self._sockets[owner].values():
                socket.send(text)

    def close(self) -> None:
        """Let all clients go: the process stops."""
        for mine in self._sockets.values():
            for socket in mine.values():
                socket.drop("the server stops")


def text_of(frame: Frame) -> str:
    """Return the text message of a frame; `seq` names the event that it tells of."""
    message: JsonObject = {"type": frame.type, "data": frame.data}
    if frame.seq:
        message["seq"] = frame.seq
    return json.dumps(message, separators=(",", ":"))
