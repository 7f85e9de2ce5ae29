"""Prompts a second, end to end, without a model; and what each process spends on a prompt."""

from __future__ import annotations

import os

from tests.bench.figures import Breakdown, Taken
from tests.bench.ground import Ground
from tests.bench.processes import Spent, machine_busy_seconds, spent_by
from tests.bench.programs import client

WARM_SECONDS = 4.0
SECONDS = 15.0
START_SECONDS_MAX = 60.0
DRAIN_SECONDS_MAX = 90.0


def measure(ground: Ground) -> Taken:
    """Keep 32 prompts open for a while; count ends and CPU seconds inside one window."""
    house = ground.house()
    arguments = ("--warm-seconds", str(WARM_SECONDS), "--seconds", str(SECONDS))
    with (
        ground.bar("throughput", 3) as step,
        client("tests.bench.load", house.url, *arguments) as load,
    ):
        load.hear("begun", WARM_SECONDS + START_SECONDS_MAX)
        before, busy_before = spent_by(house), machine_busy_seconds()
        step()
        told = load.hear("measured", SECONDS + START_SECONDS_MAX)
        after, busy_after = spent_by(house), machine_busy_seconds()
        step()
        end = load.hear("drained", DRAIN_SECONDS_MAX)
        step()
    if end["doubled"] or not told["prompts"]:
        raise AssertionError(f"no prompt ended, or one was told of twice: {told} {end}")
    spent = {name: used - before.get(name, Spent()) for name, used in after.items()}
    mine = told["client_cpu_seconds"]
    house_seconds = sum(used.total for used in spent.values())
    machine_seconds = told["seconds"] * (os.cpu_count() or 1)
    others = max(0.0, busy_after - busy_before - house_seconds - mine)
    return Taken(
        {
            "prompts_per_second": told["prompts"] / told["seconds"],
            "prompts": told["prompts"],
            "cpu_ms_per_prompt": house_seconds * 1000 / told["prompts"],
            "house_cpu_percent": 100 * house_seconds / machine_seconds,
            "client_cpu_percent": 100 * mine / machine_seconds,
            "others_cpu_percent": 100 * others / machine_seconds,
        },
        {"cpu": _per_process(spent, told["prompts"], machine_seconds)},
    )


def _per_process(spent: dict[str, Spent], prompts: int, machine_seconds: float) -> Breakdown:
    rows = [
        (
            name,
            round(used.total * 1000 / prompts, 2),
            round(used.user * 1000 / prompts, 2),
            round(used.system * 1000 / prompts, 2),
            round(100 * used.total / machine_seconds, 1),
        )
        for name, used in sorted(spent.items(), key=lambda item: -item[1].total)
    ]
    columns = ("process", "cpu ms/prompt", "user", "system", "% of machine")
    return Breakdown("CPU per prompt", columns, rows)
