"""Blobs in memory, for tests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

from libs.artifacts.base import ArtifactInfo
from libs.core.errors import NotFound, Poisoned


@dataclass
class MemoryArtifacts:
    """An `Artifacts` in one process."""

    _kept: dict[str, tuple[ArtifactInfo, bytes]] = field(default_factory=dict)

    async def put(self, key: str, data: bytes, mime: str) -> ArtifactInfo:
        """Store `data`."""
        info = ArtifactInfo(key, len(data), hashlib.sha256(data).hexdigest(), mime)
        self._kept[key] = (info, bytes(data))
        return info

    async def get(self, key: str) -> bytes:
        """Return the bytes, checked."""
        info, data = self._find(key)
        if hashlib.sha256(data).hexdigest() != info.sha256:
            raise Poisoned("the stored bytes are not those that were put", key=key)
        return data

    async def info(self, key: str) -> ArtifactInfo | None:
        """Return what is known of `key`, or None."""
        found = self._kept.get(key)
        return found[0] if found else None

    async def copy(self, source: str, target: str) -> None:
        """Copy a blob."""
        info, data = self._find(source)
        self._kept[target] = (replace(info, key=target), data)

    async def delete(self, key: str) -> None:
        """Remove `key` if it is there."""
        self._kept.pop(key, None)

    async def provision(self) -> None:
        """Do nothing: there is room from the start."""

    async def healthy(self) -> bool:
        """Say yes."""
        return True

    def keys(self) -> list[str]:
        """Return all keys, for tests that look for strays."""
        return sorted(self._kept)

    def spoil(self, key: str) -> None:
        """Change a stored byte, for tests of what happens then."""
        info, data = self._find(key)
        self._kept[key] = (info, bytes([data[0] ^ 1]) + data[1:])

    def _find(self, key: str) -> tuple[ArtifactInfo, bytes]:
        found = self._kept.get(key)
        if found is None:
            raise NotFound("there is no such artifact", key=key)
        return found
