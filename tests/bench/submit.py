"""Milliseconds from a submission to its 200, at twenty a second."""

from __future__ import annotations

from tests.bench.figures import Taken, spread
from tests.bench.ground import Ground
from tests.bench.programs import client

PER_SECOND = 20
SECONDS = 15
SECONDS_MAX = 180.0


def measure(ground: Ground) -> Taken:
    """Submit in step with the clock; time each answer from the moment it was due."""
    house = ground.house()
    rate = ("--per-second", str(PER_SECOND), "--seconds", str(SECONDS))
    with ground.bar("submit latency", 1), client("tests.bench.steady", house.url, *rate) as steady:
        told = steady.hear("measured", SECONDS_MAX)
    return Taken(
        {
            **spread(told["answered_ms"], "ms"),
            "refused": told["refused"],
            **spread(told["ended_ms"], "ms", "ended_"),
        }
    )
