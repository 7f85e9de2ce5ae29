"""What makes an output executable, and which outputs a fault takes with it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from libs.graph.check import check
from libs.graph.parse import parse
from libs.graph.refusal import GraphRefused
from libs.graph.schema import Catalogue
from libs.graph.value import Link
from tests.unit.libs.graph.checking import checked, errors_of, only_error, refusal_of
from tests.unit.libs.graph.sample import (
    CATALOGUE,
    CORE_TYPES,
    SDXL,
    chain,
    changed,
    comfy,
    hip35,
    used,
)
from tests.unit.libs.graph.strategies import right_prompts, wild_prompts


@pytest.mark.covers("R106", "R190")
@pytest.mark.parametrize("prompt", [hip35(), comfy()], ids=["hip35", "comfyui"])
def test_the_example_is_valid_in_either_dialect(prompt: Any):
    result = checked(prompt)
    assert result.outputs == ("7",)
    assert result.node_errors == {}
    assert result.graph.nodes["2"].inputs["clip"] == Link("1", 1)
    assert result.graph.nodes["1"].inputs["ckpt_name"] == SDXL


@pytest.mark.covers("R089", "R090", "R091", "R092")
@pytest.mark.parametrize(
    ("given_value", "name", "expected"),
    [
        ("42", "seed", 42),
        (3.9, "steps", 3),
        (True, "steps", 1),
        (2**64 - 1, "seed", 2**64 - 1),
        ("7.5", "cfg", 7.5),
        (7, "cfg", 7.0),
    ],
)
def test_numbers_are_brought_to_the_type_of_their_input(given_value: Any, name: str, expected: Any):
    value = checked(changed("5", **{name: given_value})).graph.nodes["5"].inputs[name]
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.covers("R091", "R092")
@pytest.mark.parametrize(
    ("name", "given_value", "expected"),
    [("on", "false", True), ("on", 0, False), ("note", 5, "5"), ("note", None, "None")],
)
def test_texts_and_booleans_are_made_as_python_makes_them(
    name: str, given_value: Any, expected: Any
):
    prompt = {"1": used("Many", **{name: given_value}), "2": used("Show", it=["1", 0])}
    assert checked(prompt).graph.nodes["1"].inputs[name] == expected


@pytest.mark.covers("R072")
def test_optional_inputs_may_be_left_out_or_null():
    prompt = {"1": used("Many", mask=None), "2": used("Show", it=["1", 1])}
    assert checked(prompt).outputs == ("2",)


def test_inputs_that_the_type_does_not_know_are_ignored():
    prompt = changed("7", extra=["99", 5], note=[1, 2, 3], more={"a": 1})
    assert checked(prompt).node_errors == {}


def test_a_wrapped_list_reaches_an_input_that_takes_anything():
    result = checked({"1": used("Show", it={"__value__": ["2", 0]})})
    assert result.graph.nodes["1"].inputs["it"] == ["2", 0]


@pytest.mark.covers("R093", *(f"R{number:03}" for number in range(80, 93)))
@pytest.mark.parametrize("made", CORE_TYPES)
@pytest.mark.parametrize("taken", CORE_TYPES)
def test_a_link_is_accepted_between_equal_types_and_no_others(made: str, taken: str):
    prompt = {"1": used(f"Make{made}"), "2": used(f"Take{taken}", it=["1", made])}
    if made == taken:
        assert checked(prompt).outputs == ("2",)
        return
    error = only_error(prompt, "2")
    assert error["type"] == "return_type_mismatch"
    assert error["details"] == f"it, received_type({made}) mismatch input_type({taken})"


@pytest.mark.parametrize("made", ["IMAGE", "MASK"])
def test_an_input_of_two_types_takes_either(made: str):
    prompt = {"1": used(f"Make{made}"), "2": used("Either", it=["1", 0])}
    assert checked({**prompt, "3": used("Show", it=["2", 0])}).outputs == ("3",)


@pytest.mark.parametrize("made", CORE_TYPES)
def test_the_star_takes_and_gives_everything(made: str):
    prompt = {"1": used(f"Make{made}"), "2": used("Anything", it=["1", 0])}
    assert checked({**prompt, "3": used(f"Take{made}", it=["2", 0])}).outputs == ("3",)


def test_a_graph_is_as_valid_as_its_valid_outputs():
    prompt = comfy()
    prompt["8"] = used("PreviewImage", images=["4", 0])
    result = checked(prompt)
    assert result.outputs == ("7",)
    assert list(result.node_errors) == ["8"]
    entry: Any = result.node_errors["8"]
    assert entry["class_type"] == "PreviewImage"
    assert entry["dependent_outputs"] == ["8"]


def test_targets_narrow_the_outputs():
    prompt = comfy()
    prompt["8"] = used("PreviewImage", images=["4", 0])
    result = checked(prompt, "7", "unknown")
    assert (result.outputs, result.node_errors) == (("7",), {})
    assert refusal_of(prompt, "6").error["type"] == "prompt_no_outputs"


def test_nodes_that_no_output_needs_may_be_wrong():
    prompt = comfy()
    prompt["8"] = used("KSampler", steps="many")
    assert checked(prompt).node_errors == {}


@pytest.mark.covers("R022", "R065")
def test_a_cycle_is_told_as_the_path_it_takes():
    prompt = {
        "a": used("Show", it=["c", 0]),
        "b": used("Chain", image=["c", 0]),
        "c": used("Either", it=["b", 0]),
    }
    refusal = refusal_of(prompt)
    assert list(refusal.node_errors) == ["b", "c"]
    for node_id in ("b", "c"):
        (error,) = errors_of(refusal.node_errors, node_id)
        assert error["type"] == "dependency_cycle"
        assert error["details"] == "b (Chain) -> c (Either) -> b (Chain)"
        assert error["extra_info"] == {"node_id": node_id, "cycle_nodes": ["b", "c"]}


def test_every_output_behind_a_cycle_depends_on_all_of_it():
    prompt = {
        "a": used("Chain", image=["b", 0]),
        "b": used("Chain", image=["c", 0]),
        "c": used("Chain", image=["a", 0]),
        "1": used("Show", it=["a", 0]),
        "2": used("Show", it=["b", 0]),
        "3": used("Show", it=["c", 0]),
    }
    entries = dict[str, Any](refusal_of(prompt).node_errors)
    assert {n: e["dependent_outputs"] for n, e in entries.items()} == {
        "a": ["1", "2", "3"],
        "b": ["1", "2", "3"],
        "c": ["1", "2", "3"],
    }


@pytest.mark.covers("R022")
def test_a_node_that_feeds_itself_is_a_cycle():
    prompt = {"1": used("Chain", image=["1", 0]), "2": used("Show", it=["1", 0])}
    assert only_error(prompt, "1")["details"] == "1 (Chain) -> 1 (Chain)"


def test_a_cycle_that_no_output_needs_is_left_alone():
    prompt = comfy()
    prompt["8"] = used("Chain", image=["8", 0])
    assert checked(prompt).node_errors == {}


@pytest.mark.parametrize("length", [500, 2000])
def test_a_chain_may_be_longer_than_the_call_stack(length: int):
    assert checked(chain(length)).outputs == (str(length - 1),)


def test_a_fault_at_the_far_end_of_a_chain_reaches_the_output():
    prompt = chain(2000)
    prompt["0"]["inputs"]["image"] = ["nowhere", 0]
    refusal = refusal_of(prompt)
    assert list(refusal.node_errors) == ["0"]
    entry: Any = refusal.node_errors["0"]
    assert entry["dependent_outputs"] == ["1999"]


def test_each_fault_lists_the_outputs_that_depend_on_it():
    prompt = {
        "1": used("Chain", image=["x", 0]),
        "2": used("Chain"),
        "3": used("Show", it=["1", 0]),
        "4": used("Show", it=["2", 0]),
        "5": used("Show", it=["1", 0]),
        "6": used("Show"),
    }
    result = checked(prompt)
    assert result.outputs == ("4",)
    dependents = {n: e["dependent_outputs"] for n, e in dict[str, Any](result.node_errors).items()}
    assert dependents == {"1": ["3", "5"], "6": ["6"]}


def test_all_faults_of_a_node_are_told_at_once_and_all_in_the_details():
    prompt = changed("5", steps=0, cfg=101, scheduler=4, model=["2", 0])
    refusal = refusal_of(prompt)
    kinds = [error["type"] for error in errors_of(refusal.node_errors, "5")]
    assert kinds == [
        "return_type_mismatch",
        "value_smaller_than_min",
        "value_bigger_than_max",
        "value_not_in_list",
    ]
    lines = str(refusal.error["details"]).splitlines()
    assert lines[1:3] == [
        "Value 0 smaller than min of 1: steps",
        "Value 101.0 bigger than max of 100.0: cfg",
    ]


def test_what_lies_behind_a_link_that_does_not_fit_is_not_looked_at():
    prompt = changed("6", samples=["2", 0])
    prompt["2"]["inputs"] = {}
    assert list(refusal_of(prompt).node_errors) == ["6"]


def test_answers_stay_small_whatever_was_sent():
    prompt = {
        str(place): used("Show", it=["m" * 150, 0], **{"n" * 150: "x" * 9000})
        for place in range(500)
    }
    prompt["s"] = changed("5", steps="9" * 9000)["5"]
    prompt["t"] = used("TakeLATENT", it=["s", 0])
    refusal = refusal_of(prompt)
    assert len(refusal.node_errors) == 100
    assert len(json.dumps(refusal.body)) < 150_000


def test_the_verdict_does_not_depend_on_the_order_of_the_nodes():
    prompt = comfy()
    prompt["8"] = used("PreviewImage", images=["4", 0])
    turned = dict(reversed(prompt.items()))
    first, second = checked(prompt), checked(turned)
    assert set(first.outputs) == set(second.outputs)
    assert first.node_errors == second.node_errors


@settings(deadline=None, max_examples=150)
@given(wild_prompts())
def test_whatever_is_wrong_is_told_and_never_raised(prompt: Any):
    try:
        result = check(parse(prompt), CATALOGUE)
    except GraphRefused as refusal:
        json.dumps(refusal.body, allow_nan=False).encode()
        return
    assert result.outputs
    json.dumps(result.node_errors, allow_nan=False)


@settings(deadline=None, max_examples=60)
@given(right_prompts())
def test_a_right_graph_has_no_errors(prompt: Any):
    assert checked(prompt).node_errors == {}


def test_a_catalogue_without_types_knows_no_node():
    with pytest.raises(GraphRefused) as caught:
        check(parse(comfy()), Catalogue({}))
    assert caught.value.error["type"] == "missing_node_type"
