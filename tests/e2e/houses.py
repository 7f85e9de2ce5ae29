"""Houses for tests: `studio up` on a folder of its own, on free ports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

READY_SECONDS_MAX = 120
STOP_SECONDS_MAX = 40
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class House:
    """A running house: its API, its folder, its process and what it said when it was ready."""

    url: str
    home: Path
    process: subprocess.Popen[str]
    told: dict[str, Any]
    settings: dict[str, str] = field(default_factory=dict)

    def client(self) -> httpx.Client:
        """Return an HTTP client of the API."""
        return httpx.Client(base_url=self.url, timeout=60)

    def pid_of(self, command: str) -> int:
        """Return the process that runs `studio <command>` in this house now."""
        for pid in _descendants(self.process.pid):
            words = _command_line(pid)
            if words[-1:] == [command] and "services.cli" in words:
                return pid
        raise LookupError(command)

    def descendants(self) -> list[int]:
        """Return every process of the house but the first."""
        return _descendants(self.process.pid)

    def engine_pid(self) -> int:
        """Return the engine's child process."""
        for pid in _descendants(self.process.pid):
            if "services.gpu_worker.engine" in _command_line(pid):
                return pid
        raise LookupError("engine")

    def studio(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a `studio` command against this house."""
        return subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            cwd=ROOT,
            env=environment(self.home) | self.settings,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


def environment(home: Path) -> dict[str, str]:
    """Return an environment that points at `home` and at no other house."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("STUDIO_", "NATS_URL", "DATABASE_URL", "S3_", "HANZO_"))
    }
    return own | {
        "STUDIO_HOME": str(home),
        "STUDIO_LOG": "json",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
    }


@contextmanager
def house(home: Path, *options: str, **settings: str) -> Iterator[House]:
    """Run `studio up` on `home` until the block ends, then stop it with Ctrl-C."""
    log = home.parent / f"{home.name}.log"
    with log.open("a") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "up", "--port", "0", "--json", *options],
            cwd=ROOT,
            env=environment(home) | settings,
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            start_new_session=True,
        )
    try:
        told = _read_ready(process, log)
        yield House(told["url"], home, process, told, settings)
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> int:
    """Press Ctrl-C and wait; kill what does not leave."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def wait_until(condition: Any, seconds: float, what: str, pause: float = 0.05) -> Any:
    """Return the first true answer of `condition`; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(pause)
    raise AssertionError(f"not within {seconds} s: {what}")


def _read_ready(process: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + READY_SECONDS_MAX
    text = ""
    assert process.stdout is not None
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        if not line:
            break
        text += line
        try:
            told = json.loads(text)
        except ValueError:
            continue
        return dict(told)
    raise AssertionError(f"the house did not get ready:\n{log.read_text()[-6000:]}")


def _descendants(root: int) -> list[int]:
    found, waiting = [], [root]
    while waiting:
        parent = waiting.pop()
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except OSError:
            continue
        found += [int(child) for child in children]
        waiting += [int(child) for child in children]
    return found


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    except OSError:
        return []
