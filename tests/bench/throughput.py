"""Prompts a second, end to end, without a model; and what each process spends on a prompt."""

from __future__ import annotations

from tests.bench.figures import Taken
from tests.bench.ground import Ground
from tests.bench.programs import client
from tests.bench.window import Window

WARM_SECONDS = 4.0
SECONDS = 15.0
START_SECONDS_MAX = 60.0
DRAIN_SECONDS_MAX = 90.0


def measure(ground: Ground) -> Taken:
    """Keep 32 prompts open for a while; count ends and CPU seconds inside one window."""
    house = ground.house()
    times = ("--warm-seconds", str(WARM_SECONDS), "--seconds", str(SECONDS))
    with ground.bar("throughput", 3) as step, client("tests.bench.load", house.url, *times) as load:
        load.hear("warm", WARM_SECONDS + START_SECONDS_MAX)
        window = Window(house)
        step()
        told = load.hear("measured", SECONDS + START_SECONDS_MAX)
        if not told["prompts"]:
            raise AssertionError("no prompt ended while it was measured")
        figures, cpu = window.close(told["prompts"], told["seconds"], told["client_cpu_seconds"])
        step()
        end = load.hear("drained", DRAIN_SECONDS_MAX)
        step()
    if end["doubled"]:
        raise AssertionError(f"{end['doubled']} prompts were told of twice")
    per_second = told["prompts"] / told["seconds"]
    return Taken(
        {"prompts_per_second": per_second, "refused": end["refused"], **figures}, {"cost": cpu}
    )
