"""What the house asks of blob storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ArtifactInfo:
    """What is known of a stored blob without reading it."""

    key: str
    size_bytes: int
    sha256: str
    mime: str


class Artifacts(Protocol):
    """Blobs by key; keys are made of opaque tokens and digests, never of what people typed."""

    async def put(self, key: str, data: bytes, mime: str) -> ArtifactInfo:
        """Store `data`; the same key and bytes again is the same blob. Unavailable on failure."""
        ...

    async def get(self, key: str) -> bytes:
        """Return the bytes, checked against the sha256 they were stored with.

        NotFound when there is no such key, Poisoned when the bytes differ.
        """
        ...

    async def info(self, key: str) -> ArtifactInfo | None:
        """Return what is known of `key`, or None."""
        ...

    async def copy(self, source: str, target: str) -> None:
        """Copy on the server's side; NotFound when `source` is missing."""
        ...

    async def delete(self, key: str) -> None:
        """Remove `key` if it is there."""
        ...

    async def provision(self) -> None:
        """Create the bucket if it is missing."""
        ...

    async def healthy(self) -> bool:
        """Say whether the storage answers now."""
        ...
