"""A client that is cut off in the middle of its runs comes to the same end, in a whole house.

STUDIO_TEST_CUT_SECONDS says for how long it is away.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from typing import Any

import httpx
import pytest

from tests.e2e.houses import House
from tests.e2e.watching import Watcher, submit, tiny_graph

CUT_SECONDS = float(os.environ.get("STUDIO_TEST_CUT_SECONDS", "1"))
RUNS = 5
LIFECYCLE = frozenset(
    {
        "execution_start",
        "execution_cached",
        "executed",
        "execution_complete",
        "execution_success",
        "execution_error",
        "execution_interrupted",
    }
)
Told = dict[str, list[tuple[int, str]]]


def certain(frames: list[dict[str, Any]]) -> Told:
    """Return the lifecycle of each prompt as place and type, as one client was told it."""
    told: Told = defaultdict(list)
    for frame in frames:
        data = frame["data"]
        over = frame["type"] == "executing" and data["node"] is None
        if frame["type"] in LIFECYCLE or over:
            told[data["prompt_id"]].append((frame["seq"], frame["type"]))
    return told


def archived(api: httpx.Client, prompt_id: str) -> list[tuple[int, str]]:
    """Return the lifecycle of a finished prompt, as anybody is told it afterwards."""
    stream = api.get(f"/api/jobs/{prompt_id}/events").text
    blocks = [dict(line.split(": ", 1) for line in b.splitlines()) for b in stream.split("\n\n")]
    return [(int(block["id"]), block["event"]) for block in blocks if "id" in block]


@pytest.mark.covers("R208")
def test_a_client_that_was_away_in_the_middle_of_its_runs_loses_and_doubles_nothing(
    shared_house: House, api: httpx.Client, demo_graph: dict[str, Any]
):
    with Watcher(shared_house, "cut-off") as before:
        ids = [submit(api, demo_graph, "cut-off")]
        ids += [submit(api, tiny_graph(color, preview=False), "cut-off") for color in range(RUNS)]
        while before.read()["type"] != "execution_cached":
            continue
    time.sleep(CUT_SECONDS)
    with Watcher(shared_house, "cut-off", since=before.frames[-1]["seq"]) as after:
        for prompt_id in ids:
            if not any(kind == "executing" for _, kind in certain(after.frames)[prompt_id]):
                after.until_end(prompt_id)
    told = certain([*before.frames, *after.frames])
    assert sorted(told) == sorted(ids)
    for prompt_id in ids:
        assert told[prompt_id] == archived(api, prompt_id)
        assert [kind for _, kind in told[prompt_id]][-3:] == [
            "execution_complete",
            "execution_success",
            "executing",
        ]
    places = [frame["seq"] for frame in [*before.frames, *after.frames]]
    assert places == sorted(places)
    assert json.loads(api.get("/history").text).keys() >= set(ids)
