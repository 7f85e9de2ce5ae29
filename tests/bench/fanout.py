"""Five hundred WebSocket clients, each told of its own prompt and of no other.

Every tenth is cut off for ten seconds in the middle of its run and resumes to the same end.
"""

from __future__ import annotations

from tests.bench.figures import Taken, spread
from tests.bench.ground import Ground
from tests.bench.processes import KIB, memory_mib
from tests.bench.programs import client
from tests.bench.window import Window

CLIENTS = 500
CONNECT_SECONDS_MAX = 90.0
TELL_SECONDS_MAX = 150.0


def measure(ground: Ground) -> Taken:
    """Connect everybody, let each hand in one prompt, and count who was told what."""
    house = ground.house()
    numbers = ("--clients", str(CLIENTS), "--seconds-max", str(TELL_SECONDS_MAX))
    with (
        ground.bar("fan-out", 2) as step,
        client("tests.bench.crowd", house.url, *numbers) as crowd,
    ):
        before = sum(memory_mib(house).values())
        connected = crowd.hear("connected", CONNECT_SECONDS_MAX)
        grown = sum(memory_mib(house).values()) - before
        window = Window(house)
        step()
        told = crowd.hear("told", TELL_SECONDS_MAX + CONNECT_SECONDS_MAX)
        shares, cost = window.close(CLIENTS, told["seconds"], told["client_cpu_seconds"])
        step()
    return Taken(
        {
            "lost_or_wrong": told["wrong"],
            "cut_off": told["cut_off"],
            "not_resumed": told["not_resumed"],
            "dropped_clients": told["dropped"],
            "refused": told["refused"],
            **spread(told["ended_ms"], "ms", "told_"),
            "connects_per_second": CLIENTS / connected["seconds"],
            "kib_per_client": grown * KIB / CLIENTS,
            "prompts_per_second": CLIENTS / told["seconds"],
            "frames_per_prompt": told["frames"] / CLIENTS,
            **shares,
        },
        {"cost": cost},
    )
