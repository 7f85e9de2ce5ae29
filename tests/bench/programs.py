"""Clients as processes of their own, which say in JSON lines how far they are."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from tests.e2e.houses import ROOT

SHOWN_CHARACTERS = 1500


class Client:
    """A client that runs; `hear` returns what it says next under a name."""

    def __init__(self, process: subprocess.Popen[str], complaints: IO[str]) -> None:
        self.process = process
        self._complaints = complaints
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def hear(self, name: str, seconds_max: float) -> dict[str, Any]:
        """Wait for the line called `name` within a bound; a client that died is an error."""
        try:
            line = self._lines.get(timeout=seconds_max)
        except queue.Empty:
            raise AssertionError(
                f"the client was not {name} in {seconds_max:g} s {self._said()}"
            ) from None
        if line is None:
            raise AssertionError(f"the client ended before it was {name} {self._said()}")
        told: dict[str, Any] = json.loads(line)
        if told["at"] != name:
            raise AssertionError(f"the client was {told['at']}, not {name}")
        return told

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _said(self) -> str:
        self._complaints.seek(0)
        return self._complaints.read()[-SHOWN_CHARACTERS:]


@contextmanager
def client(module: str, *arguments: str) -> Iterator[Client]:
    """Run `python -m module` until the block ends; it never outlives the block."""
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            start_new_session=True,
        )
        try:
            yield Client(process, complaints)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def say(at: str, **facts: object) -> None:
    """Tell the process that started this one where we are."""
    sys.stdout.write(json.dumps({"at": at, **facts}) + "\n")
    sys.stdout.flush()
