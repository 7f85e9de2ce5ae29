"""A node type that takes its process down, as a broken driver or a full memory would.

It is no part of the product: `tests/e2e/plugged` on PYTHONPATH adds it to a house under test.
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path
from typing import Literal

from libs.nodes.declare import node
from libs.nodes.sockets import Image

PLUGGED = Path(__file__).with_name("plugged")
TYPE = "TakeTheProcessDown"


@node(TYPE, title="Take The Process Down", category="test")
def take_the_process_down(
    *, image: Image, how: Literal["abort", "kill", "segfault", "kill the agent"] = "abort"
) -> Image:
    """End the engine, or the agent that keeps it."""
    match how:
        case "abort":
            os.abort()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case _:
            os.kill(os.getppid(), signal.SIGKILL)
    return image
