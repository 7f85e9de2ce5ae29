"""Results on the page are those of the last run, and the rest of the page stays."""

from __future__ import annotations

import json
from pathlib import Path

from tests.chaos import results
from tests.chaos.checker.inspection import inspect
from tests.chaos.course import Course, Plan, Strike
from tests.chaos.fabric import NOON, sound, without_end
from tests.chaos.report import Report


def report(evidence, *strikes: Strike) -> Report:
    plan = Plan(seed=7, seconds=1, names=["nats.kill"], rounds=1)
    return Report(Course(plan, list(strikes)), evidence, inspect(evidence))


def strike(**more) -> Strike:
    began = NOON.timestamp()
    return Strike("nats.kill", began, began + 1000, **{"recovered_seconds": 2.5, **more})


def test_a_line_counts_the_prompts_that_were_on_their_way():
    (line,) = report(sound(), strike()).facts()["faults"]
    assert (line["times"], line["prompts"], line["ended"], line["lost"]) == (1, 3, 3, 0)
    assert line["recover_p50_seconds"] == 2.5


def test_a_lost_prompt_is_counted_at_the_fault_that_it_met():
    facts = report(without_end("good"), strike()).facts()
    assert not facts["clean"]
    assert (facts["faults"][0]["lost"], facts["faults"][0]["misbilled"]) == (1, 1)
    assert facts["totals"]["lost"] > 0


def test_a_fault_that_was_not_recovered_from_is_not_clean():
    assert report(sound(), strike()).clean
    assert not report(sound(), strike(trouble="the probe has no end")).clean


def test_new_results_replace_the_old_ones_on_the_page(tmp_path: Path):
    page, folder = tmp_path / "chaos.md", tmp_path / "chaos"
    page.write_text(f"before\n{results.BEGIN}\nold\n{results.END}\nafter\n")
    for seconds in (1.5, 2.5):
        facts = report(sound(), strike(recovered_seconds=seconds)).facts()
        results.write(facts, page, folder)
    told = page.read_text()
    assert told.startswith("before\n")
    assert told.endswith("after\n")
    assert "old" not in told
    assert "1.5 s" not in told
    assert "| `nats.kill` | 1 | 3 | 3 | 0 | 0 | 0 | 2.5 s | 2.5 s |" in told
    assert json.loads((folder / "house.json").read_text())["clean"]
