"""Seconds from `studio up` to a house that would execute a prompt: on a new folder and again."""

from __future__ import annotations

import time

from tests.bench.figures import Taken
from tests.bench.ground import Ground


def measure(ground: Ground) -> Taken:
    """Start a house on an empty folder, stop it, and start it there once more."""
    ready, stopped = [], []
    with ground.bar("start", 2) as step:
        for _ in range(2):
            began = time.perf_counter()
            with ground.new_house("start"):
                ready.append(time.perf_counter() - began)
                began = time.perf_counter()
            stopped.append(time.perf_counter() - began)
            step()
    return Taken(
        {"first_seconds": ready[0], "again_seconds": ready[1], "stop_seconds": max(stopped)}
    )
