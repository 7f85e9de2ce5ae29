"""The vault: what names a person is readable only while that person's data key exists."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable
from typing import Final, TypeVar, cast

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.artifacts.base import Artifacts
from libs.artifacts.keys import workflow_key
from libs.core.errors import Poisoned
from libs.core.jsonvalue import Json
from libs.events.base import Sealed
from libs.sealed.base import INLINE_BYTES_MAX
from libs.sealed.cipher import decrypt, encrypt, mac, master_key_of
from libs.sealed.keys import DataKey, DataKeys, MemoryKeys, PostgresKeys

SEALED_MIME: Final = "application/octet-stream"
# Beyond this a cipher is worth the way to a thread and back.
THREAD_BYTES: Final = 1024 * 1024

T = TypeVar("T")


class KeyedVault:
    """Seals and opens under the keys of one key store."""

    def __init__(self, keys: DataKeys, artifacts: Artifacts) -> None:
        self._keys = keys
        self._artifacts = artifacts

    async def seal(self, tenant: str, user: str, value: Json) -> Sealed:
        """Seal a JSON value; beyond INLINE_BYTES_MAX the ciphertext goes to the artifacts."""
        # Half of a surrogate pair is no character, but people's files have it in them.
        clear = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )
        kid, ciphertext = await self.seal_bytes(tenant, user, clear)
        if len(ciphertext) <= INLINE_BYTES_MAX:
            inline = base64.b64encode(ciphertext).decode()
            return Sealed(kid=kid, inline=inline, clear_bytes=len(clear))
        key = workflow_key(tenant, ciphertext)
        await self._artifacts.put(key, ciphertext, SEALED_MIME)
        return Sealed(kid=kid, artifact=key, clear_bytes=len(clear))

    async def open(self, tenant: str, sealed: Sealed) -> Json:
        """Return the value that was sealed."""
        # The key first: what was erased is erased, whether its ciphertext still lies somewhere.
        key = await self._keys.get(tenant, sealed.kid)
        clear = await self._open(tenant, key, await self._ciphertext(sealed))
        return cast("Json", json.loads(clear.decode("utf-8", "surrogatepass")))

    async def seal_bytes(self, tenant: str, user: str, data: bytes) -> tuple[str, bytes]:
        """Return the key id and the ciphertext of a blob."""
        key = await self._keys.current(tenant, user)
        bound_to = (tenant, key.kid)
        return key.kid, await _aside(len(data), lambda: encrypt(key.secret, data, bound_to))

    async def open_bytes(self, tenant: str, kid: str, ciphertext: bytes) -> bytes:
        """Return the blob that was sealed."""
        return await self._open(tenant, await self._keys.get(tenant, kid), ciphertext)

    async def mac(self, tenant: str, user: str, data: bytes) -> str:
        """Return a keyed digest, comparable but not reversible; another after an erasure."""
        key = await self._keys.current(tenant, user)
        return await _aside(len(data), lambda: mac(key.secret, data))

    async def destroy(self, tenant: str, user: str) -> int:
        """Destroy all data keys of a user; return how many there were.

        Other processes may read for the minutes that they cache a key.
        """
        return await self._keys.destroy(tenant, user)

    async def _open(self, tenant: str, key: DataKey, ciphertext: bytes) -> bytes:
        bound_to = (tenant, key.kid)
        return await _aside(len(ciphertext), lambda: decrypt(key.secret, ciphertext, bound_to))

    async def _ciphertext(self, sealed: Sealed) -> bytes:
        if sealed.artifact is not None:
            return await self._artifacts.get(sealed.artifact)
        try:
            return base64.b64decode(sealed.inline or "", validate=True)
        except (binascii.Error, ValueError) as error:
            raise Poisoned("a sealed value is no base64", kid=sealed.kid) from error


class PostgresVault(KeyedVault):
    """The vault whose data keys lie in PostgreSQL, wrapped by the master key (base64)."""

    def __init__(self, engine: AsyncEngine, artifacts: Artifacts, master_key: str) -> None:
        self._stored = PostgresKeys(engine, master_key_of(master_key))
        super().__init__(self._stored, artifacts)

    async def check(self) -> None:
        """Raise Misconfigured if the master key is not the one that wrapped our keys."""
        await self._stored.check()


class MemoryVault(KeyedVault):
    """The vault of one process, for tests."""

    def __init__(self, artifacts: Artifacts) -> None:
        super().__init__(MemoryKeys(), artifacts)


async def _aside(size_bytes: int, work: Callable[[], T]) -> T:
    if size_bytes < THREAD_BYTES:
        return work()
    return await asyncio.to_thread(work)
