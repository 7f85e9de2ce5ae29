"""`studio audit` against a house that runs."""

from __future__ import annotations

import json

import pytest

from tests.e2e.houses import House, wait_until
from tests.e2e.watching import Watcher, submit, tiny_graph


@pytest.mark.covers("P15", "R348")
def test_a_living_house_is_sound_and_its_read_models_follow(shared_house: House, api):
    with Watcher(shared_house) as watcher:
        prompt_id = submit(api, tiny_graph(3), watcher.client_id)
        watcher.until_end(prompt_id)

    def settled() -> bool:
        story = json.loads(shared_house.studio("story", prompt_id, "--json").stdout)
        return str(story[-1]["type"]).endswith("CreditsCaptured")

    wait_until(settled, 60, "billing captures")
    told = shared_house.studio("audit", "verify", "--json")
    assert told.returncode == 0, told.stderr
    verified = json.loads(told.stdout)
    assert [check["name"] for check in verified["checks"]] == ["hash chain", "columns", "stream"]
    assert {check["skipped"] for check in verified["checks"]} == {""}
    assert verified["rows"] == verified["tip"]["seq"] > 10
    told = shared_house.studio("audit", "rebuild", "--json")
    assert told.returncode == 0, told.stderr
    rebuilt = json.loads(told.stdout)
    assert rebuilt["seq"] >= verified["tip"]["seq"]
