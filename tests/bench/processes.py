"""What the processes of a house cost: CPU seconds and memory, read from /proc."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.houses import House

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
KIB_PER_MIB = 1024
# utime, stime, cutime and cstime in what follows the process name in /proc/<pid>/stat.
USER, SYSTEM, USER_OF_DEAD, SYSTEM_OF_DEAD = 11, 12, 13, 14
PYTHON = re.compile(r"python[\d.]*")


@dataclass(frozen=True)
class Spent:
    """CPU seconds, in programs and in the kernel for them."""

    user: float = 0.0
    system: float = 0.0

    @property
    def total(self) -> float:
        """Return both together."""
        return self.user + self.system

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.user + other.user, self.system + other.system)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.user - other.user, self.system - other.system)


@dataclass(frozen=True)
class Footprint:
    """Memory of a process in MiB: its share of shared pages counted once, and its own alone."""

    pss: float = 0.0
    private: float = 0.0

    def __add__(self, other: Footprint) -> Footprint:
        return Footprint(self.pss + other.pss, self.private + other.private)


def spent_by(house: House) -> dict[str, Spent]:
    """Return the CPU seconds that each program of `house` has used since it started.

    The time of a child that has died is its parent's, as the kernel keeps it.
    """
    found: dict[str, Spent] = {}
    for pid in _pids(house):
        if (spent := _spent(pid)) is not None:
            name = program_name(pid)
            found[name] = found.get(name, Spent()) + spent
    return found


def footprints(house: House) -> dict[str, Footprint]:
    """Return the memory of each program of `house`; processes of one program are summed."""
    found: dict[str, Footprint] = {}
    for pid in _pids(house):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        sizes = {
            line.split(":")[0]: int(line.split()[1]) / KIB_PER_MIB for line in text.splitlines()[1:]
        }
        own = sizes["Private_Clean"] + sizes["Private_Dirty"]
        name = program_name(pid)
        found[name] = found.get(name, Footprint()) + Footprint(sizes["Pss"], own)
    return found


def machine_busy_seconds() -> float:
    """Return the CPU seconds that anybody on this machine has used since it started."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def program_name(pid: int) -> str:
    """Return what a person calls the program: the service's name, or the server's."""
    words = _read(f"/proc/{pid}/cmdline").rstrip("\0").split("\0")
    if "services.gpu_worker.engine" in words:
        return "engine"
    if "services.cli" in words:
        command = words[words.index("services.cli") + 1]
        return "studio up" if command == "up" else command
    name = _read(f"/proc/{pid}/comm").strip()
    return "python" if PYTHON.fullmatch(name) else name


def _pids(house: House) -> Iterable[int]:
    return [house.process.pid, *house.descendants()]


def _spent(pid: int) -> Spent | None:
    text = _read(f"/proc/{pid}/stat")
    fields = text.rpartition(")")[2].split()
    if not fields:
        return None
    ticks = [int(fields[at]) for at in (USER, SYSTEM, USER_OF_DEAD, SYSTEM_OF_DEAD)]
    return Spent((ticks[0] + ticks[2]) / TICKS_PER_SECOND, (ticks[1] + ticks[3]) / TICKS_PER_SECOND)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
