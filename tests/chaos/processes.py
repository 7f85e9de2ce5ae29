"""Finding the processes of a house, and doing them harm."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

SERVERS = {"nats": "nats-server", "postgres": "postgres", "s3": "weed"}
ENGINE = "services.gpu_worker.engine"
# What PostgreSQL calls a fast shutdown; at SIGTERM it waits for its clients to leave, for ever.
STOP_SIGNALS = {"postgres": signal.SIGINT}


def children(pid: int) -> list[int]:
    """Return the processes that `pid` started and that still run."""
    found: list[int] = []
    for thread in _listed(Path(f"/proc/{pid}/task")):
        with suppress(OSError):
            found += map(int, (thread / "children").read_text().split())
    return [child for child in found if not _is_zombie(child)]


def descendants(pid: int) -> list[int]:
    """Return the children of `pid` and theirs."""
    found = children(pid)
    return found + [below for child in found for below in descendants(child)]


def pids_of(name: str, roots: Iterable[int]) -> list[int]:
    """Return the processes of one service, server or of the engines, under these roots."""
    return [pid for root in roots for pid in descendants(root) if name_of(pid) == name]


def name_of(pid: int) -> str:
    """Return what we call the process; empty for one that is none of ours."""
    words = _words(pid)
    if ENGINE in words:
        return "engine"
    if "services.cli" in words:
        return words[words.index("services.cli") + 1]
    program = Path(words[0]).name if words else ""
    # PostgreSQL's own helpers rewrite their command line and are no server by themselves.
    return next((name for name, binary in SERVERS.items() if program == binary), "")


def kill(pid: int) -> None:
    """End a process as a crash or the kernel would: with no chance to tidy up."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def stop(pid: int, name: str) -> None:
    """Ask a process to end in good order."""
    with suppress(ProcessLookupError):
        os.kill(pid, STOP_SIGNALS.get(name, signal.SIGTERM))


def freeze(pid: int, name: str) -> list[int]:
    """Take the processor away from a process; return all that have to be thawed.

    A server is frozen with its helpers; an agent alone, so that its engine goes on.
    """
    frozen = [pid, *(descendants(pid) if name in SERVERS else [])]
    for one in frozen:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGSTOP)
    return frozen


def thaw(pids: Iterable[int]) -> None:
    """Let frozen processes go on."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def is_alive(pid: int) -> bool:
    """Say whether the process still runs."""
    return Path(f"/proc/{pid}").exists() and not _is_zombie(pid)


def slot_of(pid: int) -> str:
    """Return the slot that a worker was given, empty for the house's own."""
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if entry.startswith(b"STUDIO_WORKER_SLOT="):
                return entry.partition(b"=")[2].decode()
    return ""


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    except OSError:
        return []


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return True


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
