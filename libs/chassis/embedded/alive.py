"""Which process a pid means: the number alone is reused, number and start time are not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessId:
    """One process, told apart from a later one that got the same number."""

    pid: int
    started: str

    def is_alive(self) -> bool:
        """Say whether this very process still runs."""
        return bool(self.started) and started(self.pid) == self.started

    def to_json(self) -> str:
        """Write it down for `read`."""
        return json.dumps(asdict(self))


def of(pid: int) -> ProcessId:
    """Look up the process that has this number now."""
    return ProcessId(pid, started(pid))


def read(path: Path) -> ProcessId | None:
    """Read a process id from a file; None when there is none or it is not one."""
    try:
        told = json.loads(path.read_text())
        return ProcessId(int(told["pid"]), str(told["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def started(pid: int) -> str:
    """Tell when the process with this number started; empty when there is none."""
    if sys.platform == "linux":
        return _started_by_proc(pid)
    command = ("ps", "-o", "stat=,lstart=", "-p", str(pid))
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    state, _, since = told.strip().partition(" ")
    return "" if state.startswith("Z") else since.strip()


def _started_by_proc(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The command name is in parentheses and may hold spaces, so fields are counted behind it.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]
