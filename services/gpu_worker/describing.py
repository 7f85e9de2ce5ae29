"""What is written in model files, and the pictures beside them, put where gateways can read it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog
from PIL import Image, UnidentifiedImageError

from libs.artifacts.base import Artifacts
from libs.artifacts.keys import model_metadata_key, model_preview_key
from libs.core.errors import StudioError
from libs.core.jsonvalue import JsonObject
from libs.events.worker import WeightsFile
from libs.weights.folder import Found, Inventory

HEADER_BYTES_MAX: Final = 64 * 1024 * 1024
METADATA_BYTES_MAX: Final = 1024 * 1024
PICTURE_BYTES_MAX: Final = 32 * 1024 * 1024
SIDE_MAX: Final = 512
QUALITY: Final = 80
ENDINGS: Final = (".png", ".jpg", ".jpeg", ".webp", ".preview.png", ".preview.jpg")
RETRY_SECONDS: Final = 30.0

log = structlog.get_logger(__name__)


def files_told(inventory: Inventory) -> dict[str, tuple[WeightsFile, ...]]:
    """Return the model files as the fleet is told of them."""
    return {
        folder: tuple(
            WeightsFile(name=file.name, size_bytes=file.size_bytes, modified_ms=file.modified_ms)
            for file in files.values()
        )
        for folder, files in inventory.items()
    }


@dataclass
class Describing:
    """Each file is described once; a file that was replaced is another one."""

    artifacts: Artifacts
    inventory: Callable[[], Inventory]
    pause_seconds: float
    _done: set[tuple[str, str, str]] = field(default_factory=set)

    async def run(self) -> None:
        """Describe what is new, for ever."""
        while True:
            try:
                await self.describe()
            except StudioError as error:
                log.warning("models_not_described", error=error.message)
                await asyncio.sleep(RETRY_SECONDS)
            await asyncio.sleep(self.pause_seconds)

    async def describe(self) -> None:
        """Describe all files that are not described yet."""
        for folder, files in self.inventory().items():
            for found in files.values():
                if (folder, found.name, found.content) not in self._done:
                    await self._put(folder, found)
                    self._done.add((folder, found.name, found.content))

    async def _put(self, folder: str, found: Found) -> None:
        facts = (folder, found.name, found.size_bytes, found.modified_ms)
        if metadata := await asyncio.to_thread(metadata_of, found.path):
            data = json.dumps(metadata).encode()
            await self.artifacts.put(model_metadata_key(*facts), data, "application/json")
        if picture := await asyncio.to_thread(picture_beside, found.path):
            await self.artifacts.put(model_preview_key(*facts), picture, "image/webp")


def metadata_of(path: Path) -> JsonObject:
    """Return the texts in the header of a safetensors file; empty where there are none."""
    if path.suffix != ".safetensors":
        return {}
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if not 0 < size <= HEADER_BYTES_MAX:
                return {}
            header: Any = json.loads(file.read(size))
    except (OSError, ValueError, RecursionError):
        return {}
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict):
        return {}
    kept: JsonObject = {str(name): value for name, value in metadata.items() if _is_text(value)}
    return kept if len(json.dumps(kept)) <= METADATA_BYTES_MAX else {}


def picture_beside(path: Path) -> bytes | None:
    """Return the picture that lies beside a model file under its name, small and as WebP."""
    for ending in ENDINGS:
        beside = path.with_name(path.stem + ending)
        try:
            if beside.stat().st_size > PICTURE_BYTES_MAX:
                continue
            with Image.open(beside) as picture:
                picture.thumbnail((SIDE_MAX, SIDE_MAX))
                made = io.BytesIO()
                picture.convert("RGB").save(made, "WEBP", quality=QUALITY)
        except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
            continue
        return made.getvalue()
    return None


def _is_text(value: object) -> bool:
    return isinstance(value, str)
