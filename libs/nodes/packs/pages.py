"""What a pack adds to the editor's page: its files as one blob, and as files again.

The blob is a zip archive without compression, so that nothing in it is larger than it looks.
"""

from __future__ import annotations

import io
import os
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from libs.core.errors import Refused

FILES_MAX: Final = 2_000
FILE_BYTES_MAX: Final = 16 * 1024 * 1024
PACK_BYTES_MAX: Final = 48 * 1024 * 1024
NAME_CHARACTERS_MAX: Final = 300
# Code of the worker that lies beside a page is nobody's business.
SUFFIXES: Final = frozenset(
    [
        ".js",
        ".mjs",
        ".css",
        ".html",
        ".json",
        ".map",
        ".md",
        ".txt",
        ".wasm",
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".svg",
        ".webp",
        ".ico",
        ".avif",
        ".ttf",
        ".otf",
        ".woff",
        ".woff2",
        ".mp3",
        ".wav",
        ".ogg",
        ".mp4",
        ".webm",
        ".glb",
        ".gltf",
        ".hdr",
    ]
)
# The oldest time that an archive can say: the same files make the same blob.
LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)


def folder_of(declared: object, base: Path) -> Path | None:
    """Return the folder that a pack in `base` declares as its page's, if it brings it.

    Refused if it lies elsewhere.
    """
    if not declared:
        declared = _in_project(base)
    if not declared:
        return None
    root = (base / str(declared)).resolve()
    if not root.is_relative_to(base.resolve()):
        raise Refused("WEB_DIRECTORY leads out of the pack", received=str(declared)[:200])
    return root if root.is_dir() else None


def bundled(root: Path) -> bytes:
    """Return the files of a page's folder as one blob; Refused if they are too many or too large."""
    made = io.BytesIO()
    total = 0
    with zipfile.ZipFile(made, "w") as archive:
        for number, path in enumerate(_files(root.resolve())):
            data = path.read_bytes()
            total += len(data)
            if number >= FILES_MAX or len(data) > FILE_BYTES_MAX or total > PACK_BYTES_MAX:
                raise Refused(
                    "its page has too many or too large files and is not served",
                    files_maximum=FILES_MAX,
                    file_bytes_maximum=FILE_BYTES_MAX,
                    bytes_maximum=PACK_BYTES_MAX,
                )
            archive.writestr(zipfile.ZipInfo(path.relative_to(root).as_posix(), LONG_AGO), data)
    return made.getvalue()


def opened(blob: bytes) -> Mapping[str, bytes]:
    """Return the files of a blob by their paths; Refused if it is none that `bundled` makes."""
    try:
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            entries = archive.infolist()
            if len(entries) > FILES_MAX or not all(map(_is_plain, entries)):
                raise Refused("that is no page of a node pack")
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        raise Refused("that is no page of a node pack", reason=str(error)) from None


def _files(root: Path) -> Iterator[Path]:
    """Give the files that a page may consist of; links lead nowhere but inside."""
    for at, folders, names in os.walk(root):
        folders[:] = sorted(one for one in folders if not one.startswith((".", "__")))
        for name in sorted(names):
            path = Path(at, name)
            if name.startswith(".") or path.suffix.lower() not in SUFFIXES:
                continue
            if path.is_file() and path.resolve().is_relative_to(root):
                yield path


def _is_plain(entry: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(entry.filename).parts
    return (
        entry.compress_type == zipfile.ZIP_STORED
        and 0 < len(entry.filename) <= NAME_CHARACTERS_MAX
        and not entry.filename.startswith("/")
        and ".." not in parts
        and PurePosixPath(entry.filename).suffix.lower() in SUFFIXES
        and entry.file_size <= FILE_BYTES_MAX
    )


def _in_project(base: Path) -> object:
    """Return what the pack's project file declares, as the registry of packs has it."""
    try:
        project = tomllib.loads((base / "pyproject.toml").read_text("utf-8"))
        return project.get("tool", {}).get("comfy", {}).get("web")
    except (OSError, ValueError, AttributeError):
        return None
