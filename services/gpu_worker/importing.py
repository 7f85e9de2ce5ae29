"""The import of node packs, watched from outside: one that never ends is left out of the next start."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from services.gpu_worker.frames import Frame, read_frame

log = structlog.get_logger(__name__)

# The kind of a frame that names the pack which an engine imports next.
IMPORTING: Final = "importing"
LEFT_OUT: Final = "STUDIO_ENGINE_NODE_PACKS_LEFT_OUT"
LOOK_SECONDS: Final = 0.25
MIB: Final = 1024 * 1024


class NotAdmitted(Exception):
    """The pack that is being imported will not be imported again."""


@dataclass
class Imports:
    """Watches engines import packs: each pack has so much time, and so much memory.

    An engine says which pack it imports; what happens until it says the next thing is that pack's
    doing. Nothing inside the process has to be alive for it: a pack may hold the interpreter, end
    the process, or crash it. `left_out` says why which packs are not imported any more, as long as
    this worker lives.
    """

    seconds: float = 60.0
    mib: int = 4096
    left_out: dict[str, str] = field(default_factory=dict)
    _name: str = ""
    _since: float = 0.0
    _began_mib: int = 0
    _counted: int = 0

    def environment(self) -> Mapping[str, str]:
        """Return what tells an engine which packs to leave out, and why."""
        return {LEFT_OUT: json.dumps(self.left_out)}

    async def next_frame(self, reader: asyncio.StreamReader, pid: int) -> Frame | None:
        """Return what the engine says next, None when it is gone; NotAdmitted ends its start."""
        frame = await (self._watched(reader, pid) if self._name else read_frame(reader))
        if frame is not None:
            self._name = str(frame.facts["pack"]) if frame.kind == IMPORTING else ""
            if self._name:
                self._since, self._began_mib = time.monotonic(), _resident_mib(pid)
        return frame

    def ended(self, exit_code: int) -> bool:
        """Take in that the engine is gone; say whether it was for a pack, which is left out."""
        if self._name:
            self._leave_out(f"it ended the engine while it was imported ({_how(exit_code)})")
        before, self._counted = self._counted, len(self.left_out)
        return self._counted > before

    async def _watched(self, reader: asyncio.StreamReader, pid: int) -> Frame | None:
        reading = asyncio.ensure_future(read_frame(reader))
        try:
            while not reading.done():
                await asyncio.wait({reading}, timeout=LOOK_SECONDS)
                if not reading.done():
                    self._look(pid)
            return reading.result()
        finally:
            reading.cancel()

    def _look(self, pid: int) -> None:
        if time.monotonic() - self._since > self.seconds:
            raise self._leave_out(f"it was not imported within {self.seconds:g} seconds")
        if self.mib and _resident_mib(pid) - self._began_mib > self.mib:
            raise self._leave_out(f"it took more than {self.mib} MiB of memory to be imported")

    def _leave_out(self, why: str) -> NotAdmitted:
        name, self._name = self._name, ""
        self.left_out[name] = why
        log.warning("node_pack_left_out", pack=name, reason=why)
        return NotAdmitted(name)


def _how(exit_code: int) -> str:
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"


def _resident_mib(pid: int) -> int:
    """Return how much memory a process has; 0 where nobody tells."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // MIB
