"""Small disks for servers under test: one can be made full at any moment, and freed again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

KIB = 1024


@dataclass(frozen=True)
class SmallDisk:
    """A file system in memory; it takes no more memory than lies in it."""

    folder: Path
    size: str

    def fill(self) -> None:
        """Leave no room but for what lies there now."""
        disk = os.statvfs(self.folder)
        used_kib = (disk.f_blocks - disk.f_bfree) * disk.f_frsize // KIB
        self._resize(f"{used_kib + 4}k")

    def free(self) -> None:
        """Give the room back."""
        self._resize(self.size)

    def _resize(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.folder)], check=True)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[SmallDisk]:
    """Mount a disk of `size` on `folder`, which is made; needs root and the right to mount."""
    for made in (*reversed(folder.parents), folder):
        made.mkdir(mode=0o700, exist_ok=True)
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)]
    mounted = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a file system of its own cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder, size)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
