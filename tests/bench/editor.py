"""From an address to an editor that can be used, in a browser that has been nowhere yet.

And to the first paint of Painter's page; and 500 nodes, from opening them to the picture.
"""

from __future__ import annotations

import statistics

from tests.bench.figures import Taken
from tests.bench.ground import Ground
from tests.bench.programs import client
from tests.e2e.browsing import lacking

ROUNDS = 3
SECONDS_MAX = 240.0


def measure(ground: Ground) -> Taken:
    """Open both pages several times, each time in a new browser."""
    if reason := lacking():
        raise AssertionError(reason)
    house = ground.house()
    addresses = (house.url, house.told["painter"])
    with (
        ground.bar("the editor", 3) as step,
        client("tests.bench.visits", *addresses, "--rounds", str(ROUNDS)) as visits,
    ):
        opened = visits.hear("editor", SECONDS_MAX)
        step()
        painted = visits.hear("painter", SECONDS_MAX)
        step()
        long = visits.hear("long", SECONDS_MAX)
        step()
    return Taken(
        {
            "usable_max_seconds": max(opened["seconds"]),
            "usable_p50_seconds": statistics.median(opened["seconds"]),
            "first_paint_p50_seconds": statistics.median(opened["paint_seconds"]),
            "again_p50_seconds": statistics.median(opened["again_seconds"]),
            "requests": max(opened["requests"]),
            "sent_mib": max(opened["bytes"]) / 2**20,
            "painter_max_seconds": max(painted["paint_seconds"]),
            "nodes_500_drawn_seconds": long["drawn_seconds"],
            "nodes_500_answered_seconds": long["answered_seconds"],
            "nodes_500_shown_seconds": long["shown_seconds"],
            "nodes_500_frames_mib": long["bytes"] / 2**20,
        }
    )
