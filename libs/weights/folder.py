"""What lies in a models folder: scanned again and again, listed when it has stopped growing."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import structlog

from libs.weights import tiny_vaes
from libs.weights.members import is_folder_model, is_later_shard, members

log = structlog.get_logger(__name__)

READ_ONLY: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
FOLDERS: Final = (
    "checkpoints",
    "loras",
    "controlnet",
    "vae",
    "vae_approx",
    "clip",
    "clip_vision",
    "text_encoders",
    "diffusion_models",
    "unet",
    "embeddings",
    "hypernetworks",
    "style_models",
    "upscale",
    "ipadapter",
    "motion",
    "depth",
    "shap_e",
    "diffusers",
    "tokenizers",
)
# Files in the second folder are offered from the first as well: both names are in use.
ALSO_IN: Final[Mapping[str, tuple[str, ...]]] = {
    "text_encoders": ("clip",),
    "diffusion_models": ("unet",),
}
SUFFIXES: Final = frozenset({".safetensors", ".gguf", ".onnx", ".pth", ".pt", ".ckpt"})
DEPTH_MAX: Final = 4
FILES_MAX: Final = 1500
# All names together, so that a list of them fits into one event.
NAMES_BYTES_MAX: Final = 100_000
NAME_BYTES_MAX: Final = 200
# A file that was written to within so many seconds may still be growing.
SETTLED_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Found:
    """A model file; `name` is its path inside the folder, with `/` between the parts."""

    name: str
    path: Path
    size_bytes: int
    modified_ms: int

    @property
    def content(self) -> str:
        """Return what changes when the file is replaced under its old name."""
        return f"{self.size_bytes}-{self.modified_ms}"


Inventory = Mapping[str, Mapping[str, Found]]


@dataclass
class ModelFolder:
    """One folder with the house's subfolders, and files that ship with the house beside it.

    `builtin` maps a folder's name to files that it holds as long as the user has none of that
    name.
    """

    root: Path
    builtin: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    _growing: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make the folders, so that a person sees where files belong.

        A folder that is lent for reading, as to a container, is read as it is.
        """
        for folder in FOLDERS:
            try:
                (self.root / folder).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                if error.errno not in READ_ONLY:
                    raise
                log.info("models folder is read only", folder=str(self.root))
                return

    def scan(self) -> Inventory:
        """Return all settled files by folder and name; blocks while it reads the disk."""
        now = time.time()
        listed: dict[str, Mapping[str, Found]] = {}
        growing: dict[Path, tuple[int, int]] = {}
        room, name_bytes = FILES_MAX, NAMES_BYTES_MAX
        for folder in FOLDERS:
            names = {path.name: _found(path.name, path) for path in self.builtin.get(folder, ())}
            found = {name: file for name, file in names.items() if file is not None}
            for file in self._files(folder, room):
                state = (file.size_bytes, file.modified_ms)
                name_bytes -= len(file.name.encode())
                if name_bytes > 0 and self._settled(file, state, now):
                    found[file.name] = file
                growing[file.path] = state
            room -= len(found)
            if found:
                listed[folder] = MappingProxyType(dict(sorted(found.items())))
        self._growing = growing
        named = _tiny_vaes(listed.get(tiny_vaes.FOLDER, {}))
        if named:
            listed["vae"] = MappingProxyType({**listed.get("vae", {}), **named})
        return MappingProxyType(listed)

    def _files(self, folder: str, room: int) -> Iterator[Found]:
        for source in (*ALSO_IN.get(folder, ()), folder):
            yield from _files(self.root / source, room)

    def _settled(self, file: Found, state: tuple[int, int], now: float) -> bool:
        before = self._growing.get(file.path)
        if before is not None:
            return before == state
        return now - file.modified_ms / 1000 > SETTLED_SECONDS


def builtin_files(folder: Path) -> Mapping[str, tuple[Path, ...]]:
    """Return the model files that ship with the house, by the folder that they belong in."""
    places = {
        "checkpoints": folder / "hanzo-demo-64.safetensors",
        "upscale": folder / "realesr-animevideov3-x4.safetensors",
    }
    return {name: (path,) for name, path in places.items() if path.is_file()}


def _tiny_vaes(files: Mapping[str, Found]) -> dict[str, Found]:
    """Return the tiny VAEs of which both halves are there, under the names that graphs use."""
    decoders = {name: tiny_vaes.decoder_of(files, name) for name in tiny_vaes.NAMES}
    return {
        name: replace(decoder, name=name)
        for name, decoder in decoders.items()
        if decoder is not None and tiny_vaes.encoder_beside(decoder.path) is not None
    }


def _files(folder: Path, room: int) -> Iterator[Found]:
    """Yield model files in and under `folder`; what a link leads to must lie inside too."""
    try:
        root = folder.resolve(strict=True)
    except OSError:
        return
    waiting = [(folder, "", 0)]
    count = 0
    while waiting:
        current, prefix, depth = waiting.pop()
        for entry in _entries(current):
            name = f"{prefix}{entry.name}"
            path = Path(entry.path)
            if entry.name.startswith(".") or not _plain(name) or not _inside(path, root):
                continue
            if entry.is_dir() and not is_folder_model(path):
                if depth < DEPTH_MAX:
                    waiting.append((path, f"{name}/", depth + 1))
                continue
            found = _listed(name, path, root)
            if found is not None:
                count += 1
                if count > room:
                    return
                yield found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        # The folder went away between two looks, or is not ours to read: it holds nothing.
        return []


def _inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        return False


def _plain(name: str) -> bool:
    try:
        return len(name.encode()) <= NAME_BYTES_MAX and name.isprintable()
    except UnicodeEncodeError:
        return False


def _listed(name: str, path: Path, root: Path) -> Found | None:
    """Return one entry for all files that are one model; None for what is no entry of its own."""
    if not path.is_dir() and path.suffix.lower() not in SUFFIXES:
        return None
    if is_later_shard(path):
        return None
    parts = members(path)
    if len(parts) == 1:
        return _found(name, path)
    if not all(_inside(part, root) for part in parts):
        return None
    found = [part for part in (_found(name, part) for part in parts) if part is not None]
    if not found:
        return None
    size = sum(part.size_bytes for part in found)
    return Found(name, path, size, max(part.modified_ms for part in found))


def _found(name: str, path: Path) -> Found | None:
    try:
        state = path.stat()
    except OSError:
        return None
    if not path.is_file() or state.st_size == 0:
        return None
    return Found(name, path, state.st_size, state.st_mtime_ns // 1_000_000)
