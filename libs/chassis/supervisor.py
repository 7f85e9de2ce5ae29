"""Starts child processes and starts again whichever dies."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import structlog

log = structlog.get_logger(__name__)

PAUSE_SECONDS_FIRST = 0.2
PAUSE_SECONDS_MAX = 10.0
STEADY_SECONDS = 30.0
STOP_SECONDS = 15.0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Program:
    """One child: what to run, and what to add to its environment."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


class Supervisor:
    """`async with Supervisor(programs)`: they run inside, and stop in reverse order after it."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs: tuple[Program, ...] = tuple(programs)
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = False

    async def __aenter__(self) -> Self:
        """Start all programs."""
        self._keepers = [
            asyncio.create_task(self._keep(program), name=f"keep-{program.name}")
            for program in self._programs
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ask every child to stop, last started first, and kill what does not."""
        self._stopping = True
        for program in reversed(self._programs):
            child = self._running.get(program.name)
            if child is not None and child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.terminate()
        if self._keepers:
            await asyncio.wait(self._keepers, timeout=STOP_SECONDS)
        for child in self._running.values():
            if child.returncode is None:
                log.warning("killed", reason="did not stop in time", pid=child.pid)
                child.kill()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    @property
    def pids(self) -> Mapping[str, int]:
        """The children's process ids, by name."""
        return {
            name: child.pid for name, child in self._running.items() if child.returncode is None
        }

    async def _keep(self, program: Program) -> None:
        pause = PAUSE_SECONDS_FIRST
        while not self._stopping:
            began = time.monotonic()
            child = await asyncio.create_subprocess_exec(
                *program.arguments,
                env={**os.environ, **program.environment},
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
            self._running[program.name] = child
            code = await child.wait()
            if self._stopping:
                return
            lived = time.monotonic() - began
            pause = PAUSE_SECONDS_FIRST if lived > STEADY_SECONDS else pause
            log.warning("child_died", child=program.name, exit_code=code, restart_in_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)


def _die_with_parent() -> None:
    """Let the kernel end this child when the supervisor is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
