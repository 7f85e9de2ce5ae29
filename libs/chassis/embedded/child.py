"""One child process: started in its own session, ended with its parent, its log kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from libs.chassis.embedded import alive, launch
from libs.chassis.embedded.secret import write_private
from libs.core.errors import Unavailable

POLL_SECONDS = 0.02
LOG_LINES_SHOWN = 12
LEFTOVER_SECONDS = 5
NOTE_NAME = "process.json"
LOG_BYTES_MAX = 16 * 1024 * 1024

# "nobody" is PostgreSQL's case: as root it does not start. It means a user namespace where
# the system has them and uid 65534 otherwise; "uid" skips the namespace.
Identity = Literal["self", "nobody", "uid"]


@dataclass(frozen=True)
class Command:
    """What to execute, where, and how it is told to end.

    `owned` is the folder that must belong to the user the program runs as.
    """

    program: tuple[str, ...]
    folder: Path
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    identity: Identity = "self"
    owned: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class Child:
    """A started process; the thread that starts it must live as long as it does.

    On Linux the kernel ends it when that thread ends. Elsewhere `end_leftover` does so at the
    next start.
    """

    def __init__(self, command: Command) -> None:
        self._command = command
        self._log_offset = 0
        self.keep_log_bounded()
        self._log_offset = command.log.stat().st_size if command.log.exists() else 0
        end_leftover(command)
        self._process = self._start()
        write_private(_note(command), alive.of(self._process.pid).to_json())

    @property
    def pid(self) -> int:
        """The server's own process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    def keep_log_bounded(self) -> None:
        """Set an overfull log aside; the server goes on writing to the emptied file."""
        log = self._command.log
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(log, log.with_suffix(".old.log"))
            os.truncate(log, 0)
            self._log_offset = 0

    def last_lines(self) -> list[str]:
        """Give the end of what this process wrote."""
        with self._command.log.open("rb") as log:
            log.seek(self._log_offset)
            return log.read().decode(errors="replace").splitlines()[-LOG_LINES_SHOWN:]

    async def ended(self, seconds: float) -> bool:
        """Wait until it has ended, or for so long."""
        until = time.monotonic() + seconds
        while self.exit_code is None:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    async def stop(self, seconds: float) -> None:
        """Ask it to end, and after so long make it end."""
        if self.exit_code is None:
            self._process.send_signal(self._command.stop_signal)
            if not await self.ended(seconds):
                self._process.kill()
                await self.ended(seconds)
        _note(self._command).unlink(missing_ok=True)

    def _start(self) -> subprocess.Popen[bytes]:
        command = self._command
        launcher = [
            *(sys.executable, "-I", "-S", launch.__file__),
            *(str(os.getpid()), str(int(command.orphan_signal))),
            *(command.identity, str(command.owned or command.folder)),
        ]
        appending = os.open(command.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(appending, "wb") as log:
            # Its own session: the terminal's Ctrl-C is for us, who stop it after our services.
            return subprocess.Popen(
                [*launcher, *command.program],
                cwd=command.folder,
                env=_environment(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def end_leftover(command: Command) -> None:
    """End the server that a killed house left behind in this folder."""
    left = alive.read(_note(command))
    if left is None:
        return
    began = time.monotonic()
    while left.is_alive():
        waited = time.monotonic() - began
        if waited > 2 * LEFTOVER_SECONDS:
            raise Unavailable("a server of an earlier start does not end", pid=left.pid)
        # What writes its data on the way out is given the time for it.
        polite = command.stop_signal == signal.SIGINT and waited < LEFTOVER_SECONDS
        with contextlib.suppress(ProcessLookupError):
            os.kill(left.pid, signal.SIGINT if polite else signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def _note(command: Command) -> Path:
    return command.folder / NOTE_NAME


def _environment(command: Command) -> dict[str, str]:
    # Nothing else is handed down: a server reads settings of its own from variables such as
    # AWS_ACCESS_KEY_ID or PGDATA, and from files in the home folder.
    kept = {name: os.environ[name] for name in ("PATH", "TZ") if name in os.environ}
    return {**kept, "HOME": str(command.folder), "LC_ALL": "C", **command.environment}
