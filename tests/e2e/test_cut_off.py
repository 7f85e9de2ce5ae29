"""A client that is cut off in the middle of its runs comes to the same end, in a whole house.

STUDIO_TEST_CUT_SECONDS says for how long it is away.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

import httpx
import pytest

from tests.e2e.houses import House
from tests.e2e.lifecycle import archived, certain
from tests.e2e.watching import Watcher, submit, tiny_graph

CUT_SECONDS = float(os.environ.get("STUDIO_TEST_CUT_SECONDS", "1"))
RUNS = 5


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
