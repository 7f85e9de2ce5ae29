"""One owner per folder: a lock that the kernel takes back when its process dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from libs.chassis.embedded import alive
from libs.core.errors import Misconfigured


class Lock:
    """An exclusive hold, written into a file with the holder's process id and start time."""

    def __init__(self, path: Path, refusal: str, folder: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            holder = alive.read(path)
            pid = holder.pid if holder else "unknown"
            raise Misconfigured(refusal, folder=str(folder), pid=pid) from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, alive.of(os.getpid()).to_json().encode())

    def release(self) -> None:
        """Let the next one in; releasing twice is releasing once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
