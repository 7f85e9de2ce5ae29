"""A house whose worker executes three runs at once: together computed, each for itself ended and paid."""

from __future__ import annotations

import copy
import os
import signal
from typing import Any

import pytest

from tests.e2e.houses import House, house, wait_until
from tests.e2e.settling import archived, check, ended
from tests.e2e.watching import submit

SETTLED_SECONDS_MAX = 200


def submitted(running: House, graph: dict[str, Any], seeds: range, steps: int) -> list[str]:
    """Submit a prompt for each seed, all at once."""
    prompts = []
    with running.client() as api:
        for seed in seeds:
            one = copy.deepcopy(graph)
            one["sampler"]["inputs"] |= {"seed": seed, "steps": steps}
            one["positive"]["inputs"]["text"] = f"a red circle on a blue background, {seed}"
            prompts.append(submit(api, one, extra_data={"profile": "fast"}))
    return prompts


def settle(running: House, prompts: list[str]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Wait until all is over and paid, check it, and return what happened to each prompt."""
    home = running.home
    wait_until(lambda: ended(home, prompts), SETTLED_SECONDS_MAX, "every prompt ends", pause=0.5)
    report = check(home, prompts)
    assert report.clean, report
    assert report.outcomes == {"succeeded": len(prompts)}
    return archived(home)


def facts(story: list[tuple[str, dict[str, Any]]], kind: str) -> dict[str, Any]:
    return [event for found, event in story if found == kind][-1]


@pytest.mark.timeout(400)
def test_prompts_at_once_are_computed_together_and_each_is_charged_once(
    shared_house: House, demo_graph
):
    prompts = submitted(shared_house, demo_graph, range(5), steps=12)
    stories = settle(shared_house, prompts)
    prints = [facts(stories[name], "ExecutionFinished")["fingerprint"] for name in prompts]
    assert {one["profile"] for one in prints} == {"fast"}
    together = [one["batch"] for one in prints if one["batch"] != "alone"]
    assert len(together) >= 2, [one["batch"] for one in prints]


@pytest.mark.long
@pytest.mark.timeout(400)
def test_kill_9_of_the_engine_ends_no_run_and_each_is_charged_once(
    tmp_path_factory: pytest.TempPathFactory, demo_graph
):
    home = tmp_path_factory.mktemp("beside") / "home"
    with house(home, STUDIO_WORKER_BATCH="3", STUDIO_WORKER_THREADS="1") as running:
        prompts = submitted(running, demo_graph, range(3), steps=150)

        def under_way() -> bool:
            stories = archived(home)
            kinds = [{kind for kind, _ in stories.get(name, [])} for name in prompts]
            return all("ExecutionStarted" in told for told in kinds)

        wait_until(under_way, 60, "all three are under way")
        os.kill(running.engine_pid(), signal.SIGKILL)
        stories = settle(running, prompts)
    for name in prompts:
        assert facts(stories[name], "ExecutionFailed")["exception_type"] == "EngineCrashed"
        assert facts(stories[name], "RunEnded")["attempt"] == 2
