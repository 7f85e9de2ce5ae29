"""What a pack's code finds around it while it runs: a context, and folders to write into."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from libs.nodes.context import Context
from libs.nodes.expansion import CALL_NUMBER

Kind: TypeAlias = Literal["output", "temp", "input", "user"]
PREFIX: Final = "studio-packs-"
# A pack may ask whether it was stopped for every pixel; the agent is not told as often.
LOOK_SECONDS: Final = 0.1


class Room:
    """Folders of one node: what lies in them was written by it, or brought for it."""

    def __init__(self, base: Path) -> None:
        self.root = Path(tempfile.mkdtemp(dir=base)).resolve()

    def folder(self, kind: Kind) -> Path:
        """Return a folder, made if it was not there yet."""
        path = self.root / kind
        path.mkdir(exist_ok=True)
        return path

    def empty(self) -> None:
        """Remove what earlier calls left; the folders stay where packs remember them."""
        for folder in self.root.iterdir():
            for entry in folder.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)


@dataclass
class Present:
    """One call of a pack's code; without a context it is being loaded, or a node is made."""

    room: Room
    context: Context | None = None
    graphs: int = 0
    done: int = 0
    total: int = 1
    looked_at: float = float("-inf")

    def step(self, done: int, total: int) -> None:
        """Tell how far the node is; raise Interrupted if the run was stopped."""
        self.done, self.total = done, max(1, total)
        self.looked_at = time.monotonic()
        if self.context is not None:
            self.context.step(self.done, self.total)

    def look(self) -> None:
        """Raise Interrupted if the run was stopped."""
        if time.monotonic() - self.looked_at >= LOOK_SECONDS:
            self.step(self.done, self.total)


_PRESENT: Final[ContextVar[Present | None]] = ContextVar("present", default=None)
_SHARED: Final[list[Room]] = []


def present() -> Present | None:
    """Return the call that is going on in this thread, if there is one."""
    return _PRESENT.get()


def room() -> Room:
    """Return the room of the present call, or that of all packs where none goes on."""
    now = _PRESENT.get()
    return now.room if now is not None else shared_room()


def shared_room() -> Room:
    """Return the room that packs see while they are imported."""
    if not _SHARED:
        _SHARED.append(Room(_base()))
    return _SHARED[0]


def new_room() -> Room:
    """Return a room for a node."""
    return Room(shared_room().root.parent)


@contextmanager
def calling(room: Room, context: Context | None = None) -> Iterator[Present]:
    """Let the block run as a call in that room; the first call for a node finds it empty."""
    if context is not None and CALL_NUMBER.get() == 0:
        room.empty()
    now = Present(room, context)
    token = _PRESENT.set(now)
    try:
        yield now
    finally:
        _PRESENT.reset(token)


def _base() -> Path:
    """Return a folder of this process; those of processes that were killed are removed."""
    temp = Path(tempfile.gettempdir())
    for left in temp.glob(f"{PREFIX}*"):
        owner = left.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists() and Path("/proc").exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
