"""A plan is the needed nodes in an order that works, and a name for the result of each."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.graph.check import check
from libs.graph.effective import effective_input, effective_inputs
from libs.graph.parse import parse
from libs.graph.plan import Plan, plan
from libs.graph.value import Link
from tests.unit.libs.graph.sample import CATALOGUE, changed, comfy, hip35, used
from tests.unit.libs.graph.strategies import right_prompts


def planned(prompt: Any, contents: Any = None) -> Plan:
    checked = check(parse(prompt), CATALOGUE)
    return plan(checked.graph, CATALOGUE, checked.outputs, contents)


@pytest.mark.covers("R022", "R065")
def test_the_example_is_executed_from_the_checkpoint_to_the_file():
    assert planned(comfy()).order == ("1", "2", "3", "4", "5", "6", "7")
    assert planned(comfy()).outputs == ("7",)


@pytest.mark.covers("R022", "R065")
@settings(deadline=None, max_examples=150)
@given(right_prompts(), st.data())
def test_a_plan_is_exactly_the_needed_nodes_each_after_what_it_needs(
    prompt: dict[str, Any], data: st.DataObject
):
    graph = parse(prompt)
    shown = [node_id for node_id in prompt if prompt[node_id]["class_type"] == "Show"]
    outputs = data.draw(st.lists(st.sampled_from(shown), min_size=1, unique=True))
    order = plan(graph, CATALOGUE, outputs).order
    wired = {
        node_id: {v.node_id for v in node.inputs.values() if isinstance(v, Link)}
        for node_id, node in graph.nodes.items()
    }
    reached: set[str] = set(outputs)
    while (more := reached.union(*(wired[node_id] for node_id in reached))) != reached:
        reached = more
    assert len(order) == len(set(order))
    assert set(order) == reached
    for place, node_id in enumerate(order):
        assert wired[node_id] <= set(order[:place])


def test_the_order_does_not_depend_on_the_order_of_the_document():
    turned = dict(reversed(comfy().items()))
    for node in turned.values():
        node["inputs"] = dict(reversed(node["inputs"].items()))
    assert planned(turned).order == planned(comfy()).order


def test_one_output_is_finished_before_the_next_begins():
    prompt = {
        "b": used("Chain"),
        "a": used("Chain"),
        "2": used("Show", it=["b", 0]),
        "1": used("Show", it=["a", 0]),
    }
    assert planned(prompt).order == ("b", "2", "a", "1")


def test_equal_work_has_equal_names_whatever_the_ids_and_the_dialect():
    renamed = {
        f"x:{node_id}": {
            "class_type": node["class_type"],
            "inputs": {
                name: [f"x:{value[0]}", value[1]] if isinstance(value, list) else value
                for name, value in node["inputs"].items()
            },
        }
        for node_id, node in comfy().items()
    }
    names = list(planned(comfy()).fingerprints.values())
    assert list(planned(renamed).fingerprints.values()) == names
    assert list(planned(hip35()).fingerprints.values()) == names


@pytest.mark.parametrize(
    ("node_id", "change", "kept"),
    [
        ("7", {"filename_prefix": "other"}, "123456"),
        ("5", {"seed": 43}, "1234"),
        ("3", {"text": "other"}, "124"),
        ("4", {"width": 512}, "123"),
        ("1", {"ckpt_name": "demo.safetensors"}, "4"),
        ("6", {"unknown": 1}, "1234567"),
    ],
)
def test_a_change_renames_what_depends_on_it_and_nothing_else(
    node_id: str, change: dict[str, Any], kept: str
):
    before = planned(comfy()).fingerprints
    after = planned(changed(node_id, **change)).fingerprints
    assert "".join(n for n in before if before[n] == after[n]) == kept


def test_a_value_has_one_name_however_it_was_written():
    assert planned(changed("5", cfg="7.5", steps=30.0)) == planned(comfy())


def test_which_output_is_taken_is_part_of_the_name():
    prompts = [{"1": used("Many"), "2": used("Show", it=["1", slot])} for slot in (0, 1)]
    first, second = (planned(prompt).fingerprints["2"] for prompt in prompts)
    assert first != second


def test_a_file_replaced_under_its_name_renames_what_depends_on_it():
    key = ("checkpoints", "sdxl_base_1.0.safetensors")
    first = planned(comfy(), {key: "aa"}).fingerprints
    second = planned(comfy(), {key: "bb"}).fingerprints
    assert [n for n in first if first[n] == second[n]] == ["4"]


def test_only_a_node_that_asks_for_its_id_is_named_by_it():
    def name_at(node_id: str) -> str:
        prompt = {
            "1": used("Chain"),
            node_id: used("Placed", image=["1", 0]),
            "3": used("Show", it=[node_id, 0]),
        }
        return planned(prompt).fingerprints["3"]

    assert name_at("2") != name_at("4")


@pytest.mark.covers("R073")
def test_an_input_left_out_has_its_default_and_the_same_name_as_if_it_were_written():
    left_out = {"1": used("Many"), "2": used("Show", it=["1", 0])}
    written = {"1": used("Many", level=3), "2": used("Show", it=["1", 0])}
    schema = CATALOGUE.types["Many"]
    assert effective_inputs(parse(left_out).nodes["1"], schema) == {"level": 3}
    assert planned(left_out) == planned(written)


@given(right_prompts())
@settings(max_examples=50, deadline=None)
def test_one_input_asked_for_alone_is_what_it_is_among_all(prompt: Any):
    for node in parse(prompt).nodes.values():
        schema = CATALOGUE.types[node.type]
        among_all = effective_inputs(node, schema)
        for name in {*node.inputs, *schema.inputs_by_name, "never declared"}:
            assert effective_input(node, schema, name) == among_all.get(name)


def test_a_type_that_takes_anything_is_executed_after_all_it_is_wired_to():
    prompt = {
        "1": used("Open", first=["2", 0], amount=1),
        "2": used("Chain"),
        "3": used("Show", it=["1", 0]),
    }
    before = planned(prompt)
    assert before.order == ("2", "1", "3")
    prompt["1"]["inputs"]["amount"] = 2
    assert planned(prompt).fingerprints["1"] != before.fingerprints["1"]
