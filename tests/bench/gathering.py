"""Two people in the editor and two hundred WebSocket clients at once, in one house.

One of the two belongs to the tenant and user of the clients, the other to a tenant of her own; she
is cut off for ten seconds in the middle of a run, as is every tenth client.
"""

from __future__ import annotations

import json

from tests.bench.figures import Breakdown, Taken, spread
from tests.bench.ground import Ground
from tests.bench.programs import client
from tests.e2e.browsing import lacking
from tests.e2e.houses import House

CLIENTS = 200
OPEN_SECONDS_MAX = 120.0
TELL_SECONDS_MAX = 150.0


def measure(ground: Ground) -> Taken:
    """Let all of them run prompts of their own; count who heard what, and what was shown."""
    if reason := lacking():
        raise AssertionError(reason)
    house = ground.house()
    numbers = ("--clients", str(CLIENTS), "--seconds-max", str(TELL_SECONDS_MAX))
    with (
        ground.bar("two browsers and a crowd", 3) as step,
        client("tests.bench.pages", house.url, "--key", _key(house)) as pages,
    ):
        opened = pages.hear("open", OPEN_SECONDS_MAX)
        step()
        with client("tests.bench.crowd", house.url, *numbers) as crowd:
            crowd.hear("connected", OPEN_SECONDS_MAX)
            told = crowd.hear("told", TELL_SECONDS_MAX + OPEN_SECONDS_MAX)
            step()
            shown = pages.hear("shown", TELL_SECONDS_MAX)
            step()
    faults = [(fault,) for fault in shown["said"]]
    return Taken(
        {
            "frames_of_others": shown["strangers"],
            "runs_told_wrong": shown["wrong"],
            "page_errors": shown["errors"],
            "lost_or_wrong": told["wrong"],
            "not_resumed": told["not_resumed"],
            "dropped_clients": told["dropped"],
            "refused": told["refused"],
            "clients": CLIENTS,
            "cut_off": told["cut_off"] + shown["cut_off"],
            "pictures_shown": shown["pictures"],
            "frames_of_pages": shown["frames"],
            "both_open_seconds": opened["seconds"],
            **spread(shown["shown_ms"], "ms", "shown_"),
            **spread(told["ended_ms"], "ms", "told_"),
            "prompts_per_second": CLIENTS / told["seconds"],
        },
        {"faults": Breakdown("What was told or shown wrong", ("fault",), faults)} if faults else {},
    )


def _key(house: House) -> str:
    """Make a key of somebody else's."""
    names = ("--tenant", "second", "--user", "bea", "--tier", "owner")
    told = house.studio("keys", "create", *names, "--json")
    return str(json.loads(told.stdout)["token"])
