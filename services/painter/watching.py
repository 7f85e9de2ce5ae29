"""Following prompts: Studio's events of each that somebody looks at, shared by all who look.

Previews come on a socket alone, and a second socket of the same name takes the place of the
first: where two processes follow one generation, one of them has them.
"""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

import structlog

from libs.core.errors import NotFound, StudioError
from libs.core.jsonvalue import JsonObject
from services.painter.caller import Caller
from services.painter.domain.progress import Progress
from services.painter.studio import Studio

PAUSE_SECONDS: Final = 1.0
OPEN_SECONDS: Final = 5.0
FRAME_BYTES_MAX: Final = 8 * 1024 * 1024
NEWS_MAX: Final = 16
PLAIN, PLACED = 1, 4
HEADER: Final = struct.Struct(">II")
# Frames that tell of nothing but steps, and those after which a generation may look different.
STEPS: Final = frozenset({"progress", "progress_state"})
CHANGES: Final = frozenset({"job", "execution_start", "executed", "execution_error"})
END: Final = "executing"

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
    """One generation, and those who follow it."""

    progress: Progress
    listeners: set[Listener] = field(default_factory=set)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def begin(self, task: Coroutine[None, None, None]) -> None:
        """Do something for as long as anybody follows."""
        self.tasks.append(asyncio.create_task(task))

    def end(self) -> None:
        """Stop everything."""
        for task in self.tasks:
            task.cancel()

    def tell(self, news: News) -> None:
        """Tell all who follow."""
        for listener in self.listeners:
            listener.tell(news)

    def hear(self, kind: str, data: JsonObject) -> None:
        """Take a frame of Studio's in."""
        if kind in STEPS:
            if self.progress.hear(kind, data):
                self.tell(News("progress", progress=self.progress.told))
        elif kind in CHANGES or is_end(kind, data):
            self.tell(CHANGED)


@dataclass
class Watching:
    """All watches of this process."""

    studio: Studio
    _watches: dict[tuple[str, str], Watch] = field(default_factory=dict)

    @asynccontextmanager
    async def following(
        self, caller: Caller, prompt_id: str, images: int, *, previews: bool
    ) -> AsyncIterator[tuple[Listener, Progress]]:
        """Give a listener to a generation of `images` until the block ends."""
        key = (caller.name, prompt_id)
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = Watch(Progress(images))
            watch.begin(self._follow(watch, caller, prompt_id))
            if previews:
                watch.begin(self._look(watch, caller, prompt_id))
        listener = Listener()
        watch.listeners.add(listener)
        try:
            yield listener, watch.progress
        finally:
            watch.listeners.discard(listener)
            if not watch.listeners:
                self._watches.pop(key, None)
                watch.end()

    async def close(self) -> None:
        """Let all watches go."""
        watches = list(self._watches.values())
        for watch in watches:
            watch.end()
        tasks = [task for watch in watches for task in watch.tasks]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, watch: Watch, caller: Caller, prompt_id: str) -> None:
        """Hear Studio's events up to the end, over every cut."""
        while True:
            try:
                async for kind, data in self.studio.events(caller, prompt_id):
                    watch.hear(kind, data)
                    if is_end(kind, data):
                        return
            except NotFound:
                watch.tell(CHANGED)
                return
            except (StudioError, ValueError) as error:
                log.info("events_cut_off", prompt_id=prompt_id, reason=type(error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _look(self, watch: Watch, caller: Caller, prompt_id: str) -> None:
        """See unfinished pictures, as long as the socket lasts."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        query = urlencode({"clientId": client_id_of(prompt_id)})
        address = f"{self.studio.url.rstrip('/').replace('http', 'ws', 1)}/ws?{query}"
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
                    if isinstance(message, bytes) and (preview := preview_in(message)):
                        watch.tell(News("preview", preview=preview))
        except (WebSocketException, OSError, TimeoutError) as error:
            log.info("no_previews", prompt_id=prompt_id, reason=type(error).__name__)


def is_end(kind: str, data: JsonObject) -> bool:
    """Say whether a frame is the last of a prompt."""
    return kind == END and data.get("node") is None


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
