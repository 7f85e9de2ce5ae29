"""The sha256 of weights files, taken beside the work and remembered while a file stays the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeAlias

from libs.weights.members import members

# Path and content: size and time of change.
File: TypeAlias = tuple[str, str]


class Digests:
    """One thread that reads files; torch reads the same ones, so they come out of memory."""

    def __init__(self) -> None:
        self._reader = ThreadPoolExecutor(1, "digests")
        self._known: dict[File, Future[str]] = {}

    def begin(self, files: Mapping[str, File]) -> None:
        """Begin to read files, by the names that they will be asked for under."""
        for file in files.values():
            if file not in self._known or _failed(self._known[file]):
                self._known[file] = self._reader.submit(_sha256, Path(file[0]))

    def within(self, seconds: float, files: Mapping[str, File]) -> dict[str, str] | None:
        """Return the digests, or None if one of them is still being read by then."""
        self.begin(files)
        reading = {name: self._known[file] for name, file in files.items()}
        if wait(reading.values(), seconds).not_done:
            return None
        return {name: one.result() for name, one in reading.items()}

    def of(self, files: Mapping[str, File]) -> dict[str, str]:
        """Return the digests, waiting for those that are still being read."""
        self.begin(files)
        return {name: self._known[file].result() for name, file in files.items()}


def _failed(reading: Future[str]) -> bool:
    """Say whether a file could not be read; the next run may find it readable again."""
    return reading.done() and reading.exception() is not None


def _sha256(path: Path) -> str:
    """Return the digest of a file, or of the names and digests of all files of a model."""
    parts = members(path)
    if parts == (path,):
        return _of_file(path)
    whole = hashlib.sha256()
    for part in parts:
        whole.update(f"{part.relative_to(path.parent)}\0{_of_file(part)}\n".encode())
    return whole.hexdigest()


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
