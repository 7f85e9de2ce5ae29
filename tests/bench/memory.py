"""Memory of an idle house, before a model was loaded and after."""

from __future__ import annotations

import time

from tests.bench.demo import demo_graph
from tests.bench.figures import Breakdown, Taken
from tests.bench.ground import Ground
from tests.bench.processes import memory_mib
from tests.e2e.houses import House
from tests.e2e.watching import Watcher, submit

SETTLE_SECONDS = 5.0


def measure(ground: Ground) -> Taken:
    """Start a house, weigh it, make one picture, weigh it again."""
    with ground.bar("memory", 2) as step, ground.new_house("memory") as house:
        without = _settled(house)
        step()
        with house.client() as api, Watcher(house) as watcher:
            watcher.until_end(submit(api, demo_graph(seed=1), watcher.client_id))
        loaded = _settled(house)
        step()
    rows = [
        (name, round(without.get(name, 0.0), 1), round(mib, 1))
        for name, mib in sorted(loaded.items(), key=lambda item: -item[1])
    ]
    return Taken(
        {"without_model_mib": sum(without.values()), "with_demo_model_mib": sum(loaded.values())},
        {"programs": Breakdown("Idle memory, MiB", ("process", "without", "with demo"), rows)},
    )


def _settled(house: House) -> dict[str, float]:
    time.sleep(SETTLE_SECONDS)
    return memory_mib(house)
