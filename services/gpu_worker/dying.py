"""How the engine's process ends: with the agent, and with any of its threads that fails."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from typing import Final

PR_SET_PDEATHSIG: Final = 1
# Threads of ours that must not end before the process does.
THREADS: Final = frozenset({"hear", "job", "MainThread"})


def die_with_parent() -> None:
    """Let the kernel end this process when the agent is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with_thread(failure: threading.ExceptHookArgs) -> None:
    """End the process with a thread of ours that failed: nobody else would tell of its job.

    Threads that a node pack began for itself end alone.
    """
    sys.excepthook(failure.exc_type, failure.exc_value or failure.exc_type(), failure.exc_traceback)
    if failure.thread is None or failure.thread.name in THREADS:
        os._exit(1)
