"""What kills whoever handles it ends, is set aside for a person, and stops nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e import letters
from tests.e2e.deadly import PLUGGED, TYPE
from tests.e2e.houses import ROOT, House, house, wait_until
from tests.e2e.settling import check, ended
from tests.e2e.watching import Watcher, submit, tiny_graph

SETTLED_SECONDS_MAX = 120
KINDS = ("prompt", "verdict", "clearance", "run", "execution", "release")
UNKNOWN_MAJOR = {
    "specversion": "1.0",
    "source": "/by/hand",
    "type": "ai.hanzo.studio.PromptValidated",
    "time": "2026-11-24T00:00:00.000Z",
    "dataschema": "https://schemas.hanzo.ai/studio/PromptValidated/v99",
    "tenantid": "local",
    "data": {"a": "thing of the future"},
}


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run a house whose workers know a node that takes its process down."""
    home = tmp_path_factory.mktemp("poison") / "home"
    settings = {
        "PYTHONPATH": f"{PLUGGED}:{ROOT}",
        "STUDIO_LEASE_SECONDS": "5",
        "STUDIO_HEARTBEAT_SECONDS": "0.5",
    }
    with house(home, **settings) as running:
        yield running


def deadly_graph(how: str) -> dict[str, Any]:
    graph = tiny_graph(7)
    graph["9"] = {"class_type": TYPE, "inputs": {"image": ["1", 0], "how": how}}
    graph["2"]["inputs"]["images"] = ["9", 0]
    return graph


def unreadable() -> tuple[bytes, bytes]:
    """Return bytes that are no event, and an event of a house to come; each has an id of its own."""
    return b"\xff\x00 no JSON", json.dumps(UNKNOWN_MAJOR | {"id": str(uuid4())}).encode()


def assert_settled(target: House, prompt_ids: list[str], **outcomes: int) -> None:
    wait_until(lambda: ended(target.home, prompt_ids), SETTLED_SECONDS_MAX, "all end", pause=0.5)
    report = check(target.home, prompt_ids)
    assert report.clean, report
    assert report.outcomes == outcomes


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "how",
    ["abort", *(pytest.param(how, marks=pytest.mark.long) for how in ("kill", "segfault"))],
)
def test_a_graph_that_kills_the_engine_ends_after_three_attempts(poisoned: House, how: str):
    before = letters.counted(poisoned)
    with poisoned.client() as api, Watcher(poisoned) as watcher:
        prompt_id = submit(api, deadly_graph(how), watcher.client_id)
        others = [submit(api, tiny_graph(number)) for number in range(5)]
        frame = watcher.until_end(prompt_id)[-2]
        row = api.get(f"/history/{prompt_id}").json()[prompt_id]
    assert frame["type"] == "execution_error"
    data = frame["data"]
    assert (data["node_id"], data["node_type"]) == ("9", TYPE)
    assert data["exception_type"] == "EngineCrashed"
    assert "Given up after 3 attempts" in data["exception_message"]
    assert f"node 9 ({TYPE})" in data["exception_message"]
    assert (row["status"]["status_str"], row["status"]["completed"]) == ("error", False)
    name, told = row["status"]["messages"][-1]
    assert name == "execution_error"
    assert told["exception_message"] == data["exception_message"]
    assert_settled(poisoned, [prompt_id, *others], succeeded=5, failed=1)
    assert_set_aside(poisoned, prompt_id, before, node_id="9", node_type=TYPE)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_lease_whose_workers_keep_dying_ends_after_three_attempts(poisoned: House):
    before = letters.counted(poisoned)
    with poisoned.client() as api, Watcher(poisoned) as watcher:
        prompt_id = submit(api, deadly_graph("kill the agent"), watcher.client_id)
        others = [submit(api, tiny_graph(number)) for number in range(3)]
        frame = watcher.until_end(prompt_id)[-2]
        row = api.get(f"/history/{prompt_id}").json()[prompt_id]
    assert frame["type"] == "execution_error"
    assert frame["data"]["exception_type"] == "WorkerLost"
    assert frame["data"]["exception_message"].startswith("Given up after 3 attempts")
    assert row["status"]["messages"][-1][1]["exception_type"] == "WorkerLost"
    assert_settled(poisoned, [prompt_id, *others], succeeded=3, failed=1)
    assert_set_aside(poisoned, prompt_id, before)


def assert_set_aside(target: House, prompt_id: str, before: float, **place: str) -> None:
    (letter,) = wait_until(lambda: letters.about(target, prompt_id), 60, "the letter is kept")
    assert (letter["service"], letter["reason"]) == ("scheduler", "attempts_used_up")
    assert (letter["tenant"], letter["attempts"]) == ("local", 3)
    assert {name: letter[name] for name in place} == place
    assert letters.counted(target) == before + 1
    shown = json.loads(target.studio("dead-letters", "show", str(letter["no"]), "--json").stdout)
    assert shown["event"]["data"]["outcome"] == "failed"
    again = target.studio("dead-letters", "replay", str(letter["no"]))
    assert again.returncode == 1
    assert "hand the prompt in again" in again.stderr


@pytest.mark.timeout(300)
def test_messages_that_nobody_can_read_end_their_prompts_and_no_other(
    poisoned: House, demo_graph: dict[str, Any]
):
    demo_graph["sampler"]["inputs"] |= {"steps": 5_000, "seed": uuid4().int % 2**40}
    with poisoned.client() as api, Watcher(poisoned) as watcher:
        running = submit(api, demo_graph, watcher.client_id)
        while watcher.read()["type"] != "progress":
            pass
        bystander = submit(api, tiny_graph(3))
        waiting = {
            submit(api, tiny_graph(number)): (kind, payload)
            for number, (kind, payload) in enumerate(
                (kind, payload) for kind in KINDS for payload in unreadable()
            )
        }
        for prompt_id, (kind, payload) in waiting.items():
            letters.put(poisoned, f"evt.v1.local.{kind}.{prompt_id}", payload)
        assert_settled(poisoned, list(waiting), failed=len(waiting))
        letters.put(poisoned, f"evt.v1.local.run.{running}", b"{")
        frame = watcher.until_end(running)[-2]
    assert frame["type"] == "execution_error"
    assert "could not read or handle a message" in frame["data"]["exception_message"]
    assert_settled(poisoned, [running, bystander], succeeded=1, failed=1)
    set_aside = {letter["subject"] for letter in letters.kept(poisoned)}
    assert {f"evt.v1.local.{kind}.{name}" for name, (kind, _) in waiting.items()} <= set_aside
