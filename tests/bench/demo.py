"""Seconds to the demo picture: the first one of a house, and the next."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.bench.figures import Taken
from tests.bench.ground import Ground
from tests.e2e.houses import ROOT
from tests.e2e.watching import Watcher, submit


def measure(ground: Ground) -> Taken:
    """Make the demo picture twice, from submission to the last frame."""
    house = ground.house()
    seconds = []
    with ground.bar("demo picture", 2) as step, house.client() as api, Watcher(house) as watcher:
        for seed in (1, 2):
            began = time.perf_counter()
            watcher.until_end(submit(api, demo_graph(seed), watcher.client_id))
            seconds.append(time.perf_counter() - began)
            step()
    return Taken({"first_seconds": seconds[0], "next_seconds": seconds[1]})


def demo_graph(seed: int) -> dict[str, Any]:
    """Return the demo model's workflow under a seed of its own."""
    text = (ROOT / "libs/weights/demo/graph.json").read_text(encoding="utf-8")
    graph: dict[str, Any] = json.loads(text)
    graph["sampler"]["inputs"]["seed"] = seed
    return graph
