"""Results of nodes in blob storage, sealed: what one worker made another one need not make."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from libs.artifacts.base import Artifacts
from libs.artifacts.keys import result_key
from libs.core.errors import StudioError
from libs.sealed.base import Vault

log = structlog.get_logger(__name__)

MIME: Final = "application/octet-stream"
# Results that are still being put; beyond that they are not kept, so that memory is bounded.
UNDER_WAY_MAX: Final = 4


@dataclass
class KeptResults:
    """One person's results by digest. Trouble with the storage is a miss, never a failure of the run.

    A blob is the id of the key that sealed it, a line feed, and the ciphertext; when the key is
    destroyed the results of its person are gone with it.
    """

    artifacts: Artifacts
    vault: Vault
    tenant: str
    user: str
    under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def known(self, digests: Sequence[str]) -> dict[str, int]:
        """Return those that are there, with their sizes in bytes."""
        found = await asyncio.gather(*(self._size(each) for each in digests))
        pairs = zip(digests, found, strict=True)
        return {digest: size for digest, size in pairs if size is not None}

    async def fetch(self, digest: str) -> bytes | None:
        """Return a result, or None when it cannot be had now."""
        try:
            blob = await self.artifacts.get(self._key(digest))
            kid, _, ciphertext = blob.partition(b"\n")
            return await self.vault.open_bytes(
                self.tenant, kid.decode("ascii", "replace"), ciphertext
            )
        except StudioError as error:
            log.info("result_not_fetched", reason=error.message)
            return None

    def keep(self, digest: str, data: bytes) -> None:
        """Begin to put a result, unless there is too much to be put already."""
        if len(self.under_way) >= UNDER_WAY_MAX:
            return
        task = asyncio.create_task(self._put(digest, data))
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)

    async def settled(self) -> None:
        """Wait until all that was begun is put."""
        await asyncio.gather(*self.under_way)

    async def _put(self, digest: str, data: bytes) -> None:
        try:
            kid, ciphertext = await self.vault.seal_bytes(self.tenant, self.user, data)
            blob = kid.encode("ascii") + b"\n" + ciphertext
            await self.artifacts.put(self._key(digest), blob, MIME)
        except StudioError as error:
            log.info("result_not_kept", reason=error.message)

    def _key(self, digest: str) -> str:
        return result_key(self.tenant, self.user, digest)

    async def _size(self, digest: str) -> int | None:
        try:
            info = await self.artifacts.info(self._key(digest))
        except StudioError:
            return None
        return None if info is None else info.size_bytes
