"""Nodes that put others in their place: loops, places, bounds."""

from __future__ import annotations

from typing import Any

import pytest

from libs.core.errors import Refused
from libs.graph import growing
from libs.graph.growing import Place
from libs.graph.parse import parse
from libs.nodes.expansion import prefix_of
from services.gpu_worker.failing import NodeFailed
from tests.semantics.nodes import CALLS
from tests.unit.services.gpu_worker.semantics import CATALOGUE, Bench, calls


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.covers("R065")
def test_a_node_expands_into_others_that_belong_to_it(bench: Bench):
    graph: dict[str, tuple[str, dict[str, Any]]] = {
        "twice": ("Twice", {"text": "ab"}),
        "tell": ("Tell", {"text": ["twice", 0]}),
    }
    assert bench.shown(**graph) == ["abab"]
    assert bench.heard.of("started") == ["twice", "twice.0.0.word", "twice.0.0.add", "tell"]
    assert bench.heard.of("finished") == ["twice.0.0.word", "twice.0.0.add", "twice", "tell"]
    assert bench.heard.places["twice.0.0.add"] == Place("twice", "twice", "twice")
    assert bench.shown(**graph) == ["abab"]
    assert CALLS == []


def test_a_node_that_expands_for_each_value_of_a_list_has_nodes_for_each(bench: Bench):
    shown = bench.shown(
        count=("Count", {"to": 3}),
        twice=("Twice", {"text": ["count", 0]}),
        gather=("Gather", {"items": ["twice", 0], "between": "-"}),
        tell=("Tell", {"text": ["gather", 0]}),
    )
    assert shown == ["2-4-6"]
    assert "twice.2.0.add" in bench.heard.places


def test_output_nodes_of_an_expansion_are_executed_in_every_prompt(bench: Bench):
    graph: dict[str, tuple[str, dict[str, Any]]] = {
        "shout": ("Shout", {"text": "a"}),
        "tell": ("Tell", {"text": ["shout", 0]}),
    }
    for text in ("b", "c"):
        graph["tell"] = ("Add", {"one": ["shout", 0], "two": text})
        told = bench.run(**graph, end=("Tell", {"text": ["tell", 0]}))
        assert told.ui["end"] == {"text": ["a" + text]}
    graph["shout"] = ("Shout", {"text": ["now", 0]})
    graph["now"] = ("Weather", {"name": "now"})
    for _ in (1, 2):
        told = bench.run(**graph, end=("Tell", {"text": ["tell", 0]}))
        assert told.ui["shout.0.0.tell"] == {"text": ["now"]}


@pytest.mark.covers("R065")
def test_a_loop_is_repeated_expansion_and_remembers_its_turns(bench: Bench):
    def looped(times: int) -> dict[str, tuple[str, dict[str, Any]]]:
        return {
            "loop": ("Loop", {"text": "a", "times": times}),
            "tell": ("Tell", {"text": ["loop", 0]}),
        }

    assert bench.shown(**looped(4)) == ["a!!!!"]
    assert len(calls("Add")) == 4
    assert {place.real for place in bench.heard.places.values()} == {"loop"}
    assert {place.display for place in bench.heard.places.values()} == {"loop"}
    assert bench.shown(**looped(6)) == ["a!!!!!!"]
    assert calls("Add") == ["a!!!!!", "a!!!!!!"]


def test_a_loop_of_hundreds_of_turns_comes_to_its_end(bench: Bench):
    shown = bench.shown(
        loop=("Loop", {"text": "", "times": 300}), tell=("Tell", {"text": ["loop", 0]})
    )
    assert shown == ["!" * 300]
    assert max(map(len, bench.heard.places)) <= 130


def test_an_endless_expansion_is_stopped(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(growing, "EXPANDED_NODES_MAX", 20)
    with pytest.raises(NodeFailed, match="too many nodes") as failed:
        bench.run(loop=("Loop", {"text": "", "times": 999}), tell=("Tell", {"text": ["loop", 0]}))
    assert (failed.value.node_id, failed.value.node_type) == ("loop", "Loop")
    assert not failed.value.retryable


def test_an_expansion_into_an_unknown_type_fails_its_own_node(bench: Bench):
    with pytest.raises(NodeFailed, match="Node 'Nothing' not found") as failed:
        bench.run(
            many=("Many", {"number": 1, "class_type": "Nothing"}),
            tell=("Tell", {"text": ["many", 0]}),
        )
    assert failed.value.node_id == "many"


def test_what_nobody_needs_of_an_expansion_is_not_executed(bench: Bench):
    assert bench.shown(many=("Many", {"number": 5}), tell=("Tell", {"text": ["many", 0]})) == ["5"]
    assert calls("Word") == []


def test_nodes_that_wait_for_each_other_are_a_failure_of_the_node_that_made_them(bench: Bench):
    with pytest.raises(NodeFailed) as failed:
        bench.run(ring=("Ring", {}), tell=("Tell", {"text": ["ring", 0]}))
    assert failed.value.node_id == "ring"
    assert failed.value.exception_type == "graph.DependencyCycleError"
    assert failed.value.exception_message == "Dependency cycle detected"


def test_a_failure_inside_of_an_expansion_is_told_of_the_clients_node(bench: Bench):
    with pytest.raises(NodeFailed) as failed:
        bench.run(
            count=("Count", {"to": 1}),
            loop=("Loop", {"text": ["count", 0], "times": 1}),
            tell=("Tell", {"text": ["loop", 0]}),
        )
    assert (failed.value.node_id, failed.value.node_type) == ("loop", "Loop")
    assert failed.value.exception_type == "TypeError"
    assert failed.value.current_outputs == ("count",)


def test_ids_of_nodes_within_nodes_stay_short_and_their_own():
    long = "1." + "0.0.x." * 40
    assert len(prefix_of(long)) < 60
    assert prefix_of(long) != prefix_of(long + "y")
    assert prefix_of("7", 2, 1) == "7.2.1."


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ({"1": {"class_type": "Word"}}, "a node twice"),
        ({"x" * 1025: {"class_type": "Word"}}, "too long"),
        ({"y": {"class_type": "Word", "inputs": {"text": ["z", 0]}}}, "not there"),
        ({"y": {"class_type": "Word", "inputs": {"text": ["1", 4]}}}, "not there"),
    ],
)
def test_an_expansion_that_cannot_be_executed_is_refused(nodes: Any, said: str):
    graph = growing.GrowingGraph(parse({"1": {"class_type": "Word", "inputs": {}}}), CATALOGUE)
    with pytest.raises(Refused, match=said):
        graph.grow("1", nodes)


def test_an_expanded_node_may_be_shown_by_another_one():
    graph = growing.GrowingGraph(
        parse({one: {"class_type": "Word", "inputs": {}} for one in ("1", "2")}), CATALOGUE
    )
    graph.grow("1", {"a": {"class_type": "Word", "override_display_id": "2"}})
    graph.grow("a", {"b": {"class_type": "Word", "inputs": {"text": ["a", 0.0]}}})
    assert graph.place("a") == Place("2", "1", "1")
    assert graph.place("b") == Place("2", "a", "1")
    assert graph.sources("b") == ("a",)
    assert graph.ids == ("1", "2", "a", "b")
