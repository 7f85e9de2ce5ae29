"""What the house asks of the vault."""

from __future__ import annotations

from typing import Protocol

from libs.core.jsonvalue import Json
from libs.events.base import Sealed

INLINE_BYTES_MAX = 64 * 1024


class Vault(Protocol):
    """Seals and opens under data keys that are wrapped by the master key in PostgreSQL.

    Destroying a data key makes everything sealed under it unreadable for ever; opening then
    raises NotFound with code `erased`.
    """

    async def seal(self, tenant: str, user: str, value: Json) -> Sealed:
        """Seal a JSON value; beyond INLINE_BYTES_MAX the ciphertext goes to the artifacts."""
        ...

    async def open(self, tenant: str, sealed: Sealed) -> Json:
        """Return the value that was sealed."""
        ...

    async def seal_bytes(self, tenant: str, user: str, data: bytes) -> tuple[str, bytes]:
        """Return the key id and the ciphertext of a blob, such as an input image."""
        ...

    async def open_bytes(self, tenant: str, kid: str, ciphertext: bytes) -> bytes:
        """Return the blob that was sealed."""
        ...

    async def mac(self, tenant: str, user: str, data: bytes) -> str:
        """Return a keyed digest, comparable but not reversible."""
        ...

    async def destroy(self, tenant: str, user: str) -> int:
        """Destroy all data keys of a user; return how many there were."""
        ...
