"""Who is connected or follows a prompt, and a bounded line of frames for each."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from libs.core.errors import Unavailable
from libs.core.jsonvalue import JsonObject
from libs.events.base import PromptKey
from services.gateway.away import Away, Places
from services.gateway.domain.frames import Frame, status
from services.gateway.domain.story import Owner

# Every prompt changes the count that all of its tenant's clients see, so what is told would grow
# with clients times prompts. Beyond this many frames, clients hear of several changes at once.
STATUS_FRAMES_PER_SECOND = 2_000
# A client with that many frames waiting is shown no previews.
PREVIEW_LINE_MAX = 8
STOPS = "the server stops"

Remaining = Callable[[Owner], int]
Item = TypeVar("Item")


class Line(Generic[Item]):
    """Someone's line of items; who does not keep up is dropped, never waited for."""

    def __init__(self, items_max: int) -> None:
        self.reason = ""
        self._items_max = items_max
        self._first: deque[Item] = deque()
        self._line: deque[Item] = deque()
        self._news = asyncio.Event()

    def begin(self, items: Iterable[Item]) -> None:
        """Put items before all that has come since; they are bounded by whoever made them."""
        self._first.extend(items)
        self._news.set()

    def put(self, item: Item) -> None:
        """Put an item at the end of the line."""
        if len(self._line) >= self._items_max:
            self.drop("too slow")
            return
        self._line.append(item)
        self._news.set()

    def drop(self, reason: str) -> None:
        """Give the line up."""
        self.reason = self.reason or reason
        self._news.set()

    async def next(self) -> Item | None:
        """Return the next item, or None when the line was given up."""
        while not (self._first or self._line or self.reason):
            self._news.clear()
            await self._news.wait()
        if self.reason:
            return None
        return self._first.popleft() if self._first else self._line.popleft()

    def __len__(self) -> int:
        return len(self._line)


class Socket(Line[str | bytes]):
    """One client's line of messages; `place` is where in the log it has been told all."""

    def __init__(self, owner: Owner, client_id: str, frames_max: int) -> None:
        super().__init__(frames_max)
        self.owner = owner
        self.client_id = client_id
        self.told_remaining = -1
        self.wants_places = False
        self.place = 0
        self.places = Places()
        self.parted = False

    def stand(self, place: int, since: int | None) -> None:
        """Begin at a place; whoever names one has heard nothing behind it."""
        self.place = place if since is None else max(place, since)
        self.places.told(self.place if since is None else since)
        self.places.told(self.place)

    @property
    def heard(self) -> int:
        """Return the place up to which the client has surely been told all."""
        all_sent = self.parted and not (self._first or self._line)
        return self.places.last if all_sent else self.places.certain

    def tell(self, frame: Frame) -> None:
        """Tell a frame; what the client heard before it came here is not told again."""
        if not frame.seq or frame.seq > self.place:
            self.place = max(self.place, frame.seq)
            self.places.told(self.place)
            self.put(text_of(frame, self.place))

    def show(self, preview: bytes) -> None:
        """Put a preview into the line, unless the client is behind already."""
        if len(self) < PREVIEW_LINE_MAX:
            self.put(preview)


class Listener(Line[Frame]):
    """Who follows one prompt, as whoever it is for."""


@dataclass
class Hub:
    """Sockets by owner and client id; owners by tenant."""

    sockets_max: int
    frames_max: int
    away: Away = field(default_factory=Away)
    _resting: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    _unsaid: set[str] = field(default_factory=set)
    _sockets: dict[Owner, dict[str, Socket]] = field(default_factory=dict)
    _owners: dict[str, set[Owner]] = field(default_factory=dict)
    _listeners: dict[PromptKey, set[Listener]] = field(default_factory=dict)
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
            self.away.left(owner, client_id, before.heard)
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
        self.away.left(socket.owner, socket.client_id, socket.heard)
        self._count -= 1
        if not mine:
            del self._sockets[socket.owner]
            self._owners[socket.owner[0]].discard(socket.owner)
            if not self._owners[socket.owner[0]]:
                del self._owners[socket.owner[0]]

    def has(self, owner: Owner, client_id: str) -> bool:
        """Say whether a client is connected."""
        return client_id in self._sockets.get(owner, {})

    def tell(self, owner: Owner, client_id: str, frames: Iterable[Frame]) -> None:
        """Send frames to the one client that they are for, if it is here."""
        socket = self._sockets.get(owner, {}).get(client_id) if client_id else None
        if socket is not None:
            for frame in frames:
                socket.tell(frame)

    def listen(self, key: PromptKey) -> Listener:
        """Let someone follow a prompt."""
        if self._count >= self.sockets_max:
            raise Unavailable("too many open sockets", limit=self.sockets_max)
        listener = Listener(self.frames_max)
        self._listeners.setdefault(key, set()).add(listener)
        self._count += 1
        return listener

    def quit(self, key: PromptKey, listener: Listener) -> None:
        """Forget who followed a prompt."""
        self._count -= 1
        listeners = self._listeners.get(key, set())
        listeners.discard(listener)
        if not listeners:
            self._listeners.pop(key, None)

    def tell_listeners(self, key: PromptKey, frames: Iterable[Frame]) -> None:
        """Send frames to all who follow a prompt."""
        listeners = self._listeners.get(key, ())
        for frame in frames if listeners else ():
            for listener in listeners:
                listener.put(frame)

    def send(self, owner: Owner, client_id: str, message: bytes) -> None:
        """Send bytes to the one client that they are for, if it is here."""
        socket = self._sockets.get(owner, {}).get(client_id) if client_id else None
        if socket is not None:
            socket.put(message)

    def show(self, owner: Owner, client_id: str, *, plain: bytes, placed: bytes) -> None:
        """Send a preview to the one client that it is for, in the form that it knows."""
        socket = self._sockets.get(owner, {}).get(client_id) if client_id else None
        if socket is not None:
            socket.show(placed if socket.wants_places else plain)

    def tell_status(self, owner: Owner, client_id: str, remaining: Remaining) -> None:
        """Tell the client whose prompt it is, at once, how many prompts its user has open.

        All other clients of the tenant hear of a change at once too, but when there are many
        of them they hear only how the last of several changes left the count.
        """
        mine = self._sockets.get(owner, {}).get(client_id) if client_id else None
        if mine is not None:
            _send_status(mine, remaining(owner))
        tenant = owner[0]
        if tenant in self._resting:
            self._unsaid.add(tenant)
        else:
            self._tell_all(tenant, remaining)

    def _tell_all(self, tenant: str, remaining: Remaining) -> None:
        count = 0
        for owner in self._owners.get(tenant, ()):
            now, mine = remaining(owner), self._sockets[owner].values()
            count += len(mine)
            for socket in mine:
                if now != socket.told_remaining:
                    _send_status(socket, now)
        if count:
            pause = count / STATUS_FRAMES_PER_SECOND
            again = partial(self._after_rest, tenant, remaining)
            self._resting[tenant] = asyncio.get_running_loop().call_later(pause, again)

    def _after_rest(self, tenant: str, remaining: Remaining) -> None:
        del self._resting[tenant]
        if tenant in self._unsaid:
            self._unsaid.discard(tenant)
            self._tell_all(tenant, remaining)

    def close(self) -> None:
        """Let all clients go: the process stops."""
        for timer in self._resting.values():
            timer.cancel()
        self._resting.clear()
        for mine in self._sockets.values():
            for socket in mine.values():
                socket.drop(STOPS)
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.drop(STOPS)


def _send_status(socket: Socket, remaining: int) -> None:
    socket.told_remaining = remaining
    socket.tell(status(remaining))


def text_of(frame: Frame, seq: int) -> str:
    """Return the text message of a frame; `seq` is how far whoever has it has been told all."""
    message: JsonObject = {"type": frame.type, "data": frame.data, "seq": seq}
    return json.dumps(message, separators=(",", ":"))
