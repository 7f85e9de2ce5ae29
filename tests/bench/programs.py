"""Clients as processes of their own, which say in JSON lines how far they are."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.houses import ROOT


class Client:
    """A client that runs; `hear` returns what it says next under a name."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def hear(self, name: str, seconds_max: float) -> dict[str, Any]:
        """Wait for the line called `name` within a bound; a client that died is an error."""
        try:
            line = self._lines.get(timeout=seconds_max)
        except queue.Empty:
            raise AssertionError(f"the client did not say {name!r} in {seconds_max} s") from None
        if line is None:
            raise AssertionError(f"the client ended with {self.process.wait()} before {name!r}")
        told: dict[str, Any] = json.loads(line)
        if told["at"] != name:
            raise AssertionError(f"the client said {told['at']!r}, not {name!r}")
        return told

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)


@contextmanager
def client(module: str, *arguments: str) -> Iterator[Client]:
    """Run `python -m module` until the block ends; it never outlives the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield Client(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def say(at: str, **facts: object) -> None:
    """Tell the process that started this one where we are."""
    sys.stdout.write(json.dumps({"at": at, **facts}) + "\n")
    sys.stdout.flush()
