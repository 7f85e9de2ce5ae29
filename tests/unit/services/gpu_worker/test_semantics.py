"""What graphs may do beyond one node after the other: lazy inputs, expansions, blocked values."""

from __future__ import annotations

import math
from typing import Any

import pytest

from libs.graph.check import check
from libs.graph.parse import parse
from libs.graph.refusal import GraphRefused
from libs.nodes.context import Interrupted
from libs.nodes.judging import changes_of, judge_of
from libs.nodes.registry import load
from services.gpu_worker.failing import NodeFailed
from tests.semantics.nodes import CALLS, CHANGES, MEETINGS, TYPES, Meeting
from tests.unit.services.gpu_worker.semantics import CATALOGUE, Bench, calls


@pytest.fixture
def bench() -> Bench:
    MEETINGS.clear()
    CHANGES.clear()
    return Bench()


def choosing(switch: bool) -> dict[str, tuple[str, dict[str, Any]]]:
    return {
        "no": ("Word", {"text": "no"}),
        "yes": ("Word", {"text": "yes"}),
        "choose": ("Choose", {"switch": switch, "on_false": ["no", 0], "on_true": ["yes", 0]}),
        "tell": ("Tell", {"text": ["choose", 0]}),
    }


@pytest.mark.covers("R065")
def test_of_lazy_inputs_only_the_one_that_is_asked_for_is_executed(bench: Bench):
    assert bench.shown(**choosing(True)) == ["yes"]
    assert calls("Word") == ["yes"]
    assert calls("Choose") == [(None, "yes")]
    assert bench.heard.of("started") == ["choose", "yes", "choose", "tell"]
    assert bench.heard.of("finished") == ["yes", "choose", "tell"]


def test_a_lazy_input_that_is_remembered_is_not_executed_again(bench: Bench):
    bench.run(**choosing(True))
    graph = choosing(False) | {"more": ("Tell", {"text": ["yes", 0]})}
    told = bench.run(**graph)
    assert set(told.cached) == {"yes"}
    assert calls("Word") == ["no"]


@pytest.mark.parametrize(("switch", "chosen"), [(True, "yes"), (False, "no")])
def test_a_switch_has_only_the_side_executed_that_it_passes_on(switch: bool, chosen: str):
    bench = Bench({**TYPES, "ComfySwitchNode": load()["ComfySwitchNode"]})
    graph = choosing(switch)
    graph["choose"] = ("ComfySwitchNode", graph["choose"][1])
    assert bench.shown(**graph) == [chosen]
    assert calls("Word") == [chosen]


def test_a_lazy_input_with_nothing_wired_to_it_cannot_be_asked_for(bench: Bench):
    with pytest.raises(NodeFailed, match="nothing is wired"):
        bench.run(choose=("Choose", {"switch": True}), tell=("Tell", {"text": ["choose", 0]}))


def test_a_lazy_node_is_asked_for_each_value_of_a_list(bench: Bench):
    shown = bench.shown(
        count=("Count", {"to": 2}),
        yes=("Word", {"text": "yes"}),
        choose=("Choose", {"switch": ["count", 0], "on_true": ["yes", 0]}),
        gather=("Gather", {"items": ["choose", 0], "between": "+"}),
        tell=("Tell", {"text": ["gather", 0]}),
    )
    assert shown == ["yes+yes"]
    assert calls("Word") == ["yes"]


@pytest.mark.covers("R065")
def test_a_blocked_value_holds_up_what_follows_and_nothing_else(bench: Bench):
    shown = bench.shown(
        word=("Word", {"text": "a"}),
        stop=("Stop", {"value": ["word", 0], "when": "a"}),
        held=("Tell", {"text": ["stop", 0]}),
        other=("Tell", {"text": ["word", 0]}),
    )
    assert shown == ["a"]
    assert bench.heard.of("blocked") == []
    assert "held" in bench.heard.of("finished")


def test_the_reason_of_a_blocked_value_is_told_once_and_the_run_goes_on(bench: Bench):
    shown = bench.shown(
        stop=("Stop", {"value": "a", "when": "a", "message": "too dark"}),
        word=("Add", {"one": ["stop", 0]}),
        held=("Tell", {"text": ["word", 0]}),
        other=("Tell", {"text": "b"}),
    )
    assert shown == ["b"]
    assert bench.heard.of("blocked") == [("word", "too dark")]
    assert calls("Add") == []


def test_one_blocked_value_of_a_list_holds_up_one_execution(bench: Bench):
    graph: dict[str, tuple[str, dict[str, Any]]] = {
        "count": ("Count", {"to": 3}),
        "stop": ("Stop", {"value": ["count", 0], "when": 2}),
        "each": ("Tell", {"text": ["stop", 0]}),
    }
    assert bench.shown(**graph) == ["1", "3"]
    graph["each"] = ("Gather", {"items": ["stop", 0], "between": ""})
    assert bench.shown(**graph, all=("Tell", {"text": ["each", 0]})) == []
    assert calls("Gather") == []


@pytest.mark.covers("R065")
def test_async_nodes_of_one_prompt_wait_at_the_same_time(bench: Bench):
    MEETINGS["here"] = meeting = Meeting()
    meeting.expected = 3
    shown = bench.shown(
        a=("Meet", {"name": "here", "text": "a"}),
        b=("Meet", {"name": "here", "text": "b"}),
        c=("Meet", {"name": "here", "text": ["word", 0]}),
        word=("Word", {"text": "c"}),
        both=("Add", {"one": ["a", 0], "two": ["b", 0]}),
        all=("Add", {"one": ["both", 0], "two": ["c", 0]}),
        tell=("Tell", {"text": ["all", 0]}),
    )
    assert shown == ["abc"]
    assert bench.heard.of("started")[:2] == ["a", "b"]


def test_an_async_node_waits_for_all_values_of_a_list_at_once(bench: Bench):
    MEETINGS["here"] = meeting = Meeting()
    meeting.expected = 3
    shown = bench.shown(
        count=("Count", {"to": 3}),
        meet=("Meet", {"name": "here", "text": ["count", 0]}),
        gather=("Gather", {"items": ["meet", 0], "between": ","}),
        tell=("Tell", {"text": ["gather", 0]}),
    )
    assert shown == ["1,2,3"]


def test_a_run_that_only_waits_can_be_stopped(bench: Bench):
    bench.stop_at_look = 2
    with pytest.raises(Interrupted):
        bench.run(
            late=("Late", {"text": "never"}),
            tell=("Tell", {"text": ["late", 0]}),
        )


def test_what_a_type_says_of_its_change_decides_whether_it_is_executed_again(bench: Bench):
    def run(name: str) -> list[Any]:
        bench.run(
            weather=("Weather", {"name": name, "wired": ["word", 0]}),
            word=("Word", {"text": "!"}),
            tell=("Tell", {"text": ["weather", 0]}),
        )
        return calls("Weather")

    CHANGES["sunny"] = 1
    assert run("sunny") == ["sunny"]
    assert run("sunny") == []
    CHANGES["sunny"] = [2, "x", b"y", {"z": 0.5}]
    assert run("sunny") == ["sunny"]
    assert run("sunny") == []
    assert run("always") == run("always") == ["always"]
    assert run("breaks") == run("breaks") == ["breaks"]


def test_only_literals_are_asked_whether_something_changed():
    node = parse({"1": {"class_type": "Weather", "inputs": {"name": "x", "wired": ["2", 0]}}})
    CALLS.clear()
    said = changes_of(list(node.nodes.values()), TYPES)
    assert CALLS == [("changes", ("x", None))]
    value = said["1"]
    assert isinstance(value, float)
    assert math.isnan(value)


def refused(kind: str, **inputs: Any) -> list[tuple[str, str]]:
    prompt: Any = {
        "1": {"class_type": kind, "inputs": inputs},
        "2": {"class_type": "Tell", "inputs": {"text": ["1", 0]}},
        "3": {"class_type": "Word", "inputs": {"text": "a"}},
        "4": {"class_type": "Level", "inputs": {"level": 1}},
    }
    try:
        check(parse(prompt), CATALOGUE, judge=judge_of(TYPES))
    except GraphRefused as refusal:
        entry: Any = refusal.node_errors["1"]
        return [(error["type"], error["details"]) for error in entry["errors"]]
    return []


@pytest.mark.covers("R075")
def test_a_type_may_judge_inputs_itself_and_then_its_bounds_do_not_count():
    assert refused("Level", level=4) == []
    assert refused("Level", level=6) == [("custom_validation_failed", "level - 6 is too much")]
    assert refused("Level", level="x")[0][0] == "invalid_input_type"


def test_a_type_that_judges_everything_is_told_each_input():
    assert refused("Even", one=8, two=10) == []
    assert refused("Even", one=7, two=8) == [
        ("custom_validation_failed", "one"),
        ("custom_validation_failed", "two"),
    ]
    assert refused("Even", one=-2, two=8) == [("exception_during_validation", "negative")]


def test_a_type_may_judge_what_is_wired_to_it_itself():
    said = "input_types - STRING is no number"
    assert refused("Number", value=["3", 0]) == [("custom_validation_failed", said)]
    assert refused("Number", value=["4", 0]) == []


def test_a_node_learns_what_it_asks_of_itself_and_its_graph(bench: Bench):
    shown = bench.shown(
        me=("Self", {"text": "hello"}),
        tell=("Tell", {"text": ["me", 0]}),
    )
    assert shown == ["me Self ['the'] {'workflow': 1} hello"]
