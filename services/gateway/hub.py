"""Open WebSockets: who is connected, and a bounded line of frames for each."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from libs.core.errors import Unavailable
from libs.core.jsonvalue import JsonObject
from services.gateway.domain.frames import Frame, status
from services.gateway.domain.story import Owner

# Every prompt changes the count that all of its tenant's clients see, so what is told would grow
# with clients times prompts. Beyond this many frames, clients hear of several changes at once.
STATUS_FRAMES_PER_SECOND = 2_000
# A client with that many frames waiting is shown no previews.
PREVIEW_LINE_MAX = 8

Remaining = Callable[[Owner], int]


class Socket:
    """One client's line of frames; a client that does not keep up is dropped, never waited for."""

    def __init__(self, owner: Owner, client_id: str, frames_max: int) -> None:
        self.owner = owner
        self.client_id = client_id
        self.reason = ""
        self.told_remaining = -1
        self.wants_places = False
        self._frames_max = frames_max
        self._line: deque[str | bytes] = deque()
        self._news = asyncio.Event()

    def send(self, message: str | bytes) -> None:
        """Put a frame at the end of the line."""
        if len(self._line) >= self._frames_max:
            self.drop("too slow")
            return
        self._line.append(message)
        self._news.set()

    def show(self, preview: bytes) -> None:
        """Put a preview into the line, unless the client is behind already."""
        if len(self._line) < PREVIEW_LINE_MAX:
            self._line.append(preview)
            self._news.set()

    def drop(self, reason: str) -> None:
        """Give the client up."""
        self.reason = self.reason or reason
        self._news.set()

    async def next(self) -> str | bytes | None:
        """Return the next frame, or None when the client was given up."""
        while not self._line and not self.reason:
            self._news.clear()
            await self._news.wait()
        return None if self.reason else self._line.popleft()


@dataclass
class Hub:
    """Sockets by owner and client id; owners by tenant."""

    sockets_max: int
    frames_max: int
    _resting: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    _unsaid: dict[str, int] = field(default_factory=dict)
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

    def send(self, owner: Owner, client_id: str, message: bytes) -> None:
        """Send bytes to the one client that they are for, if it is here."""
        socket = self._sockets.get(owner, {}).get(client_id) if client_id else None
        if socket is not None:
            socket.send(message)

    def show(self, owner: Owner, client_id: str, *, plain: bytes, placed: bytes) -> None:
        """Send a preview to the one client that it is for, in the form that it knows."""
        socket = self._sockets.get(owner, {}).get(client_id) if client_id else None
        if socket is not None:
            socket.show(placed if socket.wants_places else plain)

    def tell_status(self, owner: Owner, client_id: str, remaining: Remaining, seq: int) -> None:
        """Tell the client whose prompt it is, at once, how many prompts its user has open.

        All other clients of the tenant hear of a change at once too, but when there are many
        of them they hear only how the last of several changes left the count.
        """
        mine = self._sockets.get(owner, {}).get(client_id) if client_id else None
        if mine is not None:
            _send_status(mine, remaining(owner), seq)
        tenant = owner[0]
        if tenant in self._resting:
            self._unsaid[tenant] = seq
        else:
            self._tell_all(tenant, remaining, seq)

    def _tell_all(self, tenant: str, remaining: Remaining, seq: int) -> None:
        count = 0
        for owner in self._owners.get(tenant, ()):
            now, mine = remaining(owner), self._sockets[owner].values()
            count += len(mine)
            for socket in mine:
                if now != socket.told_remaining:
                    _send_status(socket, now, seq)
        if count:
            pause = count / STATUS_FRAMES_PER_SECOND
            again = partial(self._after_rest, tenant, remaining)
            self._resting[tenant] = asyncio.get_running_loop().call_later(pause, again)

    def _after_rest(self, tenant: str, remaining: Remaining) -> None:
        del self._resting[tenant]
        seq = self._unsaid.pop(tenant, 0)
        if seq:
            self._tell_all(tenant, remaining, seq)

    def close(self) -> None:
        """Let all clients go: the process stops."""
        for timer in self._resting.values():
            timer.cancel()
        self._resting.clear()
        for mine in self._sockets.values():
            for socket in mine.values():
                socket.drop("the server stops")


def _send_status(socket: Socket, remaining: int, seq: int) -> None:
    told = status(remaining)
    socket.told_remaining = remaining
    socket.send(text_of(Frame(told.type, told.data, seq)))


def text_of(frame: Frame) -> str:
    """Return the text message of a frame; `seq` names the event that it tells of."""
    message: JsonObject = {"type": frame.type, "data": frame.data}
    if frame.seq:
        message["seq"] = frame.seq
    return json.dumps(message, separators=(",", ":"))
