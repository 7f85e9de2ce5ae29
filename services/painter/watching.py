"""Following prompts: one socket to Studio for each that somebody looks at, whoever looks.

Studio tells frames only to the client that handed a prompt in, and a second socket of the same
name takes the place of the first. So all who follow a generation here share one, and what the
socket does not tell, or another process has taken, is found by asking now and then.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import structlog

from libs.core.jsonvalue import JsonObject
from services.painter.caller import Caller
from services.painter.domain.progress import Progress

PAUSE_SECONDS: Final = 1.0
OPEN_SECONDS: Final = 5.0
FRAME_BYTES_MAX: Final = 8 * 1024 * 1024
NEWS_MAX: Final = 16
PLAIN, PLACED = 1, 4
HEADER: Final = struct.Struct(">II")
# Frames that tell of nothing but steps.
STEPS: Final = frozenset({"progress", "progress_state"})

log = structlog.get_logger(__name__)


def client_id_of(prompt_id: str) -> str:
    """Return the name under which a generation is followed."""
    return f"painter-{prompt_id}"


@dataclass(frozen=True)
class News:
    """One thing that was told: the state may have changed, a step, or a preview."""

    kind: str
    progress: JsonObject | None = None
    preview: str = ""


CHANGED: Final = News("changed")


class Listener:
    """Whoever follows; what it does not take in time, it misses, but never a change."""

    def __init__(self) -> None:
        self._news: asyncio.Queue[News] = asyncio.Queue(NEWS_MAX)
        self._changed = False

    def tell(self, news: News) -> None:
        """Hand news over."""
        if news is CHANGED and self._changed:
            return
        if self._news.full():
            if news is not CHANGED:
                return
            self._news.get_nowait()
        self._changed = self._changed or news is CHANGED
        self._news.put_nowait(news)

    async def next(self, seconds: float) -> News | None:
        """Return the next piece of news, None when there is none for so long."""
        try:
            async with asyncio.timeout(seconds):
                news = await self._news.get()
        except TimeoutError:
            return None
        if news is CHANGED:
            self._changed = False
        return news


@dataclass
class Watch:
    """One socket and those who follow it."""

    progress: Progress
    listeners: set[Listener] = field(default_factory=set)
    task: asyncio.Task[None] | None = None

    def tell(self, news: News) -> None:
        """Tell all who follow."""
        for listener in self.listeners:
            listener.tell(news)

    def hear(self, message: str | bytes) -> None:
        """Take a frame of Studio's in."""
        if isinstance(message, bytes):
            if preview := preview_in(message):
                self.tell(News("preview", preview=preview))
            return
        frame: dict[str, Any] = json.loads(message)
        if frame.get("type") in STEPS:
            if self.progress.hear(frame["type"], frame.get("data") or {}):
                self.tell(News("progress", progress=self.progress.told))
            return
        self.tell(CHANGED)


@dataclass
class Watching:
    """All watches of this process; `url` is Studio's."""

    url: str
    _watches: dict[tuple[str, str], Watch] = field(default_factory=dict)

    @asynccontextmanager
    async def following(
        self, caller: Caller, prompt_id: str, images: int
    ) -> AsyncIterator[tuple[Listener, Progress]]:
        """Give a listener to a generation of `images` until the block ends."""
        key = (caller.name, prompt_id)
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = Watch(Progress(images))
            watch.task = asyncio.create_task(self._watch(watch, caller, prompt_id))
        listener = Listener()
        watch.listeners.add(listener)
        try:
            yield listener, watch.progress
        finally:
            watch.listeners.discard(listener)
            if not watch.listeners:
                self._watches.pop(key, None)
                if watch.task is not None:
                    watch.task.cancel()

    async def close(self) -> None:
        """Let all sockets go."""
        tasks = [watch.task for watch in self._watches.values() if watch.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, watch: Watch, caller: Caller, prompt_id: str) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        query = urlencode({"clientId": client_id_of(prompt_id)})
        address = f"{self.url.rstrip('/').replace('http', 'ws', 1)}/ws?{query}"
        while True:
            try:
                async with connect(
                    address,
                    additional_headers=caller.headers,
                    max_size=FRAME_BYTES_MAX,
                    open_timeout=OPEN_SECONDS,
                    ping_interval=None,
                    compression=None,
                    proxy=None,
                ) as socket:
                    async for message in socket:
                        watch.hear(message)
            except (WebSocketException, OSError, TimeoutError, ValueError) as error:
                log.info("socket_lost", prompt_id=prompt_id, reason=type(error).__name__)
            # Whoever took our place follows it as well; asking now and then goes on meanwhile.
            await asyncio.sleep(PAUSE_SECONDS)


def preview_in(message: bytes) -> str:
    """Return the picture in a binary frame as a data URL, or nothing."""
    if len(message) < HEADER.size:
        return ""
    kind, second = HEADER.unpack_from(message)
    if kind == PLAIN:
        image = message[HEADER.size :]
    elif kind == PLACED:
        image = message[HEADER.size + second :]
    else:
        return ""
    if not image.startswith(b"\xff\xd8"):
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(image).decode()}"
