"""Scripts and files that node packs add to the editor's page, as the workers brought them."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote

import structlog

from libs.artifacts.base import Artifacts
from libs.core.errors import NotFound, Refused, StudioError, Unavailable
from libs.nodes.packs.pages import opened
from libs.store.readmodels.workers import present
from services.gateway.archive import Archive

log = structlog.get_logger(__name__)

ROOT: Final = "/extensions"
SCRIPT: Final = ".js"
FRESH_SECONDS: Final = 0.5
# All pages that one gateway keeps at hand.
BYTES_MAX: Final = 256 * 1024 * 1024


@dataclass(frozen=True)
class Page:
    """The files of one pack."""

    files: Mapping[str, bytes]

    @property
    def size(self) -> int:
        """Return how many bytes they have."""
        return sum(map(len, self.files.values()))

    @property
    def scripts(self) -> list[str]:
        """Return the files that the editor loads by itself."""
        return [name for name in self.files if PurePosixPath(name).suffix == SCRIPT]


NO_PAGE: Final = Page({})


@dataclass
class Extensions:
    """The pages of the packs that workers have; `serves` turns all of them off.

    Blobs are read once, by their digest. Of a pack that several workers have it is the page of the
    worker that came last. While storage or PostgreSQL do not answer, what was read last holds.
    """

    archive: Archive
    artifacts: Artifacts
    serves: bool = True
    clock: Callable[[], float] = time.monotonic
    _pages: dict[str, Page] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)
    _read_at: float = float("-inf")
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def scripts(self) -> list[str]:
        """Return the paths of all scripts, as the editor asks for them."""
        await self._refresh()
        return [
            f"{ROOT}/{quote(pack)}/{quote(name)}"
            for pack, key in self._keys.items()
            for name in self._pages.get(key, NO_PAGE).scripts
        ]

    async def file(self, pack: str, path: str) -> tuple[bytes, str]:
        """Return a file and its digest; NotFound when no worker has such a pack or file."""
        await self._refresh()
        data = self._pages.get(self._keys.get(pack, ""), NO_PAGE).files.get(path)
        if data is None:
            raise NotFound("There is no such file of a node pack", field="path")
        return data, hashlib.sha256(data).hexdigest()

    async def _refresh(self) -> None:
        if not self.serves:
            return
        async with self._reading:
            if self.clock() - self._read_at < FRESH_SECONDS:
                return
            try:
                await self._read()
            except Unavailable as error:
                log.warning("node_pack_pages_unknown", error=error.message)

    async def _read(self) -> None:
        workers = sorted(present(await self.archive.fleet()), key=lambda one: one.registered_at)
        keys = {pack.name: pack.page for one in workers for pack in one.packs if pack.page}
        if keys != self._keys:
            pages: dict[str, Page] = {}
            for key in keys.values():
                pages[key] = self._pages.get(key) or await self._page(key, pages)
            # Only once all are there: until then what was read last holds.
            self._pages, self._keys = pages, keys
        self._read_at = self.clock()

    async def _page(self, key: str, others: Mapping[str, Page]) -> Page:
        """Return the page that lies there; one that cannot be read is told of and left out."""
        try:
            page = Page(await asyncio.to_thread(opened, await self.artifacts.get(key)))
            if page.size + sum(one.size for one in others.values()) > BYTES_MAX:
                raise Refused("the pages of all packs are too large", bytes_maximum=BYTES_MAX)
        except Unavailable:
            raise
        except StudioError as error:
            log.warning("node_pack_page_unreadable", key=key, reason=error.message)
            return NO_PAGE
        return page
