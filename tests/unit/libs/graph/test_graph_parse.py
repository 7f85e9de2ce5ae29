"""What a document must be to become a graph."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings

from libs.bus.limits import PAYLOAD_BYTES_MAX
from libs.events.envelope import Cause, wrap
from libs.events.execution import ExecutionFinished
from libs.graph import limits
from libs.graph.literals import NESTING_MAX
from libs.graph.parse import parse
from libs.graph.refusal import GraphRefused
from libs.graph.value import BrokenLink, Link
from tests.unit.libs.graph.sample import HIP35, comfy, hip35, used
from tests.unit.libs.graph.strategies import json_values, wild_prompts


def refusal_of(prompt: Any) -> GraphRefused:
    with pytest.raises(GraphRefused) as caught:
        parse(prompt)
    return caught.value


@pytest.mark.covers("R096", "R097", "R098", "R099")
def test_the_specifications_example_becomes_seven_nodes_with_named_links():
    graph = parse(hip35())
    assert graph.dialect == "hip35"
    assert list(graph.nodes) == ["1", "2", "3", "4", "5", "6", "7"]
    assert graph.nodes["2"].type == "CLIPTextEncode"
    assert graph.nodes["2"].inputs["clip"] == Link("1", "CLIP")
    assert graph.nodes["5"].inputs["seed"] == 42


def test_the_flat_form_becomes_nodes_with_numbered_links_and_titles():
    prompt = comfy()
    prompt["3"]["_meta"] = {"title": "What not to show"}
    graph = parse(prompt)
    assert graph.dialect == "comfyui"
    assert graph.nodes["3"].inputs["clip"] == Link("1", 1)
    assert graph.nodes["3"].title == "What not to show"


@pytest.mark.covers("R099")
def test_each_dialect_takes_the_links_of_the_other():
    assert parse({"a": used("X", b=["1", "CLIP"])}).nodes["a"].inputs["b"] == Link("1", "CLIP")
    numbered: Any = {"version": 1, "nodes": {"a": {"type": "X", "inputs": {"b": ["1", 1]}}}}
    assert parse(numbered).nodes["a"].inputs["b"] == Link("1", 1)


@pytest.mark.parametrize("node_id", ["12:3", "a.b", "x[0]", "", " ", "é", "nodes", "version"])
def test_node_ids_are_kept_as_they_are(node_id: str):
    assert list(parse({node_id: used("X")}).nodes) == [node_id]


def test_a_node_called_nodes_does_not_make_a_flat_prompt_hip35():
    graph = parse({"nodes": used("X"), "version": used("Y")})
    assert graph.dialect == "comfyui"
    assert list(graph.nodes) == ["nodes", "version"]


def test_a_hip35_node_may_be_called_class_type():
    graph = parse({"version": 1, "nodes": {"class_type": {"type": "X", "inputs": {}}}})
    assert (graph.dialect, list(graph.nodes)) == ("hip35", ["class_type"])


def test_integers_beyond_two_to_the_53rd_stay_exact():
    seed = 2**64 - 1
    assert parse({"1": used("X", seed=seed)}).nodes["1"].inputs["seed"] == seed


def test_a_wrapped_list_is_a_value_and_no_link():
    node = parse({"1": used("X", sizes={"__value__": ["2", 0]})}).nodes["1"]
    assert node.inputs["sizes"] == ["2", 0]


@pytest.mark.parametrize("received", [[], ["1"], ["1", 0, 0], ["1", 0.5], [None, 0], ["1", True]])
def test_a_list_that_is_no_link_is_kept_to_be_named(received: list[Any]):
    node = parse({"1": used("X", it=received)}).nodes["1"]
    assert node.inputs["it"] == BrokenLink("", 0, received)


@pytest.mark.covers("R095")
@pytest.mark.parametrize("version", [0, 2, "1", True, None, 1.5, [1]])
def test_any_other_version_is_refused_by_name(version: Any):
    error = refusal_of({"version": version, "nodes": {}}).error
    assert error["type"] == "invalid_prompt"
    assert error["message"] == "Only version 1 of the workflow format is known"
    assert "expected 1" in str(error["details"])
    assert error["extra_info"] == {"field": "version", "supported": [1]}


@pytest.mark.covers("R095")
def test_a_missing_version_is_refused_too():
    assert "received none" in str(refusal_of({"nodes": HIP35["nodes"]}).error["details"])


def test_the_editors_own_format_is_refused_with_the_way_out():
    error = refusal_of({"version": 1, "nodes": [{"id": 1}], "links": []}).error
    assert error["extra_info"] == {"hint": "export as API format"}
    assert "Export (API)" in str(error["details"])


@pytest.mark.parametrize("prompt", [None, 5, "x", [], [{}], True])
def test_what_is_no_object_is_refused(prompt: Any):
    assert refusal_of(prompt).error["type"] == "invalid_prompt"


@pytest.mark.parametrize(
    "prompt",
    [{"1": 5}, {"1": None}, {"1": []}, {"version": 1}, {"1": {"class_type": "X", "inputs": []}}],
)
def test_a_node_that_is_none_is_refused_and_named(prompt: Any):
    refusal = refusal_of(prompt)
    assert refusal.status == 400
    assert refusal.error["details"]


@pytest.mark.covers("R097")
@pytest.mark.parametrize("body", [{}, {"class_type": None}, {"class_type": 3}, {"class_type": ""}])
def test_a_node_without_a_type_is_named(body: dict[str, Any]):
    refusal = refusal_of({"7": {"inputs": {}, "_meta": {"title": "Mine"}, **body}})
    assert refusal.error["type"] == "missing_node_type"
    assert refusal.error["details"] == "Node ID '#7'"
    assert refusal.error["extra_info"] == {"node_id": "7", "class_type": None, "node_title": "Mine"}
    assert "7" in refusal.node_errors


def test_inputs_may_be_left_out():
    assert parse({"1": {"class_type": "X"}}).nodes["1"].inputs == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), [1, [float("nan")]]])
def test_numbers_that_json_does_not_have_are_refused_by_node_and_input(value: Any):
    refusal = refusal_of({"4": used("X", cfg={"__value__": value})})
    assert refusal.error["message"] == (
        "The value of 'cfg' is NaN or Infinity, which are no JSON numbers"
    )
    assert refusal.error["details"] == "Node ID '#4', input 'cfg'"
    assert list(refusal.node_errors) == ["4"]


@pytest.mark.parametrize("value", ["a\0b", "\ud800", {"k\0": 1}, 2**1024, -(2**1024)])
def test_what_no_store_can_hold_is_refused(value: Any):
    assert refusal_of({"4": used("X", it=value)}).error["type"] == "invalid_input_type"


@pytest.mark.parametrize("bad", ["\ud800", "a\0", "x" * 201])
def test_names_are_bounded_and_storable(bad: str):
    for prompt in ({bad: used("X")}, {"1": used(bad)}, {"1": used("X", **{bad: 1})}):
        refusal = refusal_of(prompt)
        assert refusal.error["type"] == "invalid_prompt"
        str(refusal.body).encode()


def test_values_are_nested_so_deep_and_no_deeper():
    def nested(levels: int) -> dict[str, Any]:
        value: Any = 1
        for _ in range(levels):
            value = {"in": value}
        return {"1": used("X", it=value)}

    parse(nested(NESTING_MAX))
    assert "deeper than 32" in str(refusal_of(nested(NESTING_MAX + 1)).error["message"])
    assert refusal_of(nested(100_000)).status == 400


@settings(deadline=None, max_examples=150)
@given(json_values | wild_prompts())
def test_whatever_comes_is_a_graph_or_a_refusal(prompt: Any):
    with contextlib.suppress(GraphRefused):
        parse(prompt)
        return
    refusal = refusal_of(prompt)
    assert refusal.status == 400
    assert set(refusal.error) == {"type", "message", "details", "extra_info"}


@pytest.mark.parametrize("letter", ["x", "\N{ARTIST PALETTE}", "\x01", '"', "\u00e9"])
def test_an_event_that_names_all_nodes_of_the_largest_graph_fits_the_bus(letter: str):
    fitting = next(n for n in range(200, 0, -1) if _accepted(letter * n))
    names = tuple(f"{number:03}{letter * fitting}" for number in range(limits.NODES_MAX))
    named = ExecutionFinished(
        prompt_id="p", attempt=1, worker_id="w", order=1, compute_ms=1, outputs=1, executed=names
    )
    data = wrap(
        named,
        event_id="e",
        tenant="t",
        source="gpu_worker",
        time=datetime(2026, 11, 24, tzinfo=UTC),
        cause=Cause(),
    )
    assert len(data) <= PAYLOAD_BYTES_MAX


def _accepted(name: str) -> bool:
    try:
        parse({name: {"class_type": "EmptyImage", "inputs": {}}})
    except GraphRefused:
        return False
    return True
