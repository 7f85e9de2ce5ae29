"""What the processes of a house cost: CPU seconds, bytes written and memory, read from /proc."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.houses import House

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
KIB = 1024
# utime, stime, cutime and cstime in what follows the process name in /proc/<pid>/stat.
USER, SYSTEM, USER_OF_DEAD, SYSTEM_OF_DEAD = 11, 12, 13, 14
PYTHON = re.compile(r"python[\d.]*")


@dataclass(frozen=True)
class Spent:
    """CPU seconds, in programs and in the kernel for them, and KiB that went to the disk."""

    user: float = 0.0
    system: float = 0.0
    written_kib: float = 0.0

    @property
    def cpu(self) -> float:
        """Return all CPU seconds."""
        return self.user + self.system

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.user + other.user,
            self.system + other.system,
            self.written_kib + other.written_kib,
        )

    def __sub__(self, other: Spent) -> Spent:
        return Spent(
            self.user - other.user,
            self.system - other.system,
            self.written_kib - other.written_kib,
        )


def spent_by(house: House) -> dict[str, Spent]:
    """Return what each program of `house` has used since it started.

    The time of a child that has died is its parent's, as the kernel keeps it.
    """
    found: dict[str, Spent] = {}
    for pid in _pids(house):
        if (spent := _spent(pid)) is not None:
            name = program_name(pid)
            found[name] = found.get(name, Spent()) + spent
    return found


def memory_mib(house: House) -> dict[str, float]:
    """Return the memory of each program of `house` in MiB, shared pages counted once in all.

    This is the proportional set size; a sum of resident sizes would count shared pages again
    for each process that maps them.
    """
    found: dict[str, float] = {}
    for pid in _pids(house):
        for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.startswith("Pss:"):
                name = program_name(pid)
                found[name] = found.get(name, 0.0) + int(line.split()[1]) / KIB
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
    if "services.cli" in words[:-1]:
        command = words[words.index("services.cli") + 1]
        return "studio up" if command == "up" else command
    name = _read(f"/proc/{pid}/comm").strip()
    return "python" if PYTHON.fullmatch(name) else name


def _pids(house: House) -> Iterable[int]:
    return [house.process.pid, *house.descendants()]


def _spent(pid: int) -> Spent | None:
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if not fields:
        return None
    ticks = [int(fields[at]) for at in (USER, SYSTEM, USER_OF_DEAD, SYSTEM_OF_DEAD)]
    written = [
        int(line.split()[1])
        for line in _read(f"/proc/{pid}/io").splitlines()
        if line.startswith("write_bytes:")
    ]
    return Spent(
        user=(ticks[0] + ticks[2]) / TICKS_PER_SECOND,
        system=(ticks[1] + ticks[3]) / TICKS_PER_SECOND,
        written_kib=sum(written) / KIB,
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
