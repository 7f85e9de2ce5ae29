"""Models exported for the portable engine: folders that stand for the checkpoint they are named after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from libs.weights.folder import DEPTH_MAX, FILES_MAX, Found, Inventory, ModelFolder

EXPORTED: Final = "onnx"
MANIFEST: Final = "manifest.json"
HIDDEN: Final = "."


def place_of(models: Path, checkpoint: str) -> Path:
    """Return the folder of an exported checkpoint, given its name in `checkpoints`."""
    return models / EXPORTED / checkpoint


@dataclass
class ExportedFolder(ModelFolder):
    """The models folder as a portable worker sees it: what was exported, under the old names."""

    def scan(self) -> Inventory:
        """Return the exported checkpoints; blocks while it reads the disk."""
        root = self.root / EXPORTED
        found = {file.name: file for file in _exported(root, root, DEPTH_MAX)}
        kept = dict(sorted(found.items())[:FILES_MAX])
        return MappingProxyType({"checkpoints": MappingProxyType(kept)} if kept else {})


def _exported(folder: Path, root: Path, depth: int) -> Iterator[Found]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(HIDDEN) or not entry.is_dir() or entry.is_symlink():
            continue
        manifest = entry / MANIFEST
        if manifest.is_file():
            yield _found(manifest, entry.relative_to(root).as_posix())
        elif depth:
            yield from _exported(entry, root, depth - 1)


def _found(manifest: Path, name: str) -> Found:
    size = sum(part.stat().st_size for part in manifest.parent.iterdir() if part.is_file())
    return Found(name, manifest, size, manifest.stat().st_mtime_ns // 1_000_000)
