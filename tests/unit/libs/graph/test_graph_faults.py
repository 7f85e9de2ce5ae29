"""How each fault of a node is told."""

from __future__ import annotations

from typing import Any

import pytest

from libs.graph.value import Link
from tests.unit.libs.graph.checking import checked, only_error, refusal_of
from tests.unit.libs.graph.sample import changed, comfy, used


def test_a_prompt_without_outputs_is_refused():
    for prompt in ({}, {"1": used("Chain")}, {"version": 1, "nodes": {}}):
        refusal = refusal_of(prompt)
        assert refusal.body == {
            "error": {
                "type": "prompt_no_outputs",
                "message": "Prompt has no outputs",
                "details": "",
                "extra_info": {},
            },
            "node_errors": {},
        }


def test_each_fault_is_a_line_of_the_error():
    prompt = changed("5", steps=0)
    del prompt["7"]["inputs"]["images"]
    prompt["8"] = used("PreviewImage", images=["6", 0])
    assert refusal_of(prompt).error == {
        "type": "prompt_outputs_failed_validation",
        "message": "Prompt outputs failed validation",
        "details": "Value 0 smaller than min of 1: steps\nRequired input is missing: images",
        "extra_info": {},
    }


@pytest.mark.covers("R097", "R190")
def test_an_unknown_type_is_named_even_where_no_output_needs_it():
    prompt = comfy()
    prompt["8"] = {**used("Gone"), "_meta": {"title": "My node"}}
    prompt["9"] = used("GoneToo")
    refusal = refusal_of(prompt)
    assert refusal.error["type"] == "missing_node_type"
    assert refusal.error["details"] == "Node ID '#8'"
    assert list(refusal.node_errors) == ["8", "9"]


@pytest.mark.covers("R072", "R190")
def test_a_missing_required_input_is_named():
    prompt = comfy()
    del prompt["5"]["inputs"]["model"]
    error = only_error(prompt, "5")
    assert error["type"] == "required_input_missing"
    assert error["extra_info"] == {"input_name": "model"}


@pytest.mark.covers("R075")
@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (0, "value_smaller_than_min", "Value 0 smaller than min of 1"),
        (10001, "value_bigger_than_max", "Value 10001 bigger than max of 10000"),
    ],
)
def test_numbers_out_of_range_are_told_with_their_bound(value: int, kind: str, message: str):
    error = only_error(changed("5", steps=value), "5")
    assert (error["type"], error["message"], error["details"]) == (kind, message, "steps")
    assert error["extra_info"]["received_value"] == value


@pytest.mark.covers("R075")
@pytest.mark.parametrize("value", [1, 10000])
def test_the_bounds_themselves_are_in_range(value: int):
    assert checked(changed("5", steps=value)).node_errors == {}


@pytest.mark.covers("R077")
def test_a_value_outside_its_list_is_told_with_the_list():
    error = only_error(changed("5", scheduler="none"), "5")
    assert error["details"] == (
        "scheduler: 'none' not in ['normal', 'karras', 'simple', 'sgm_uniform', 'beta']"
    )
    config = error["extra_info"]["input_config"]
    assert config == [["normal", "karras", "simple", "sgm_uniform", "beta"], {}]


def test_a_long_list_is_told_by_its_length_alone():
    prompt = {"1": used("Many", letter="z"), "2": used("Show", it=["1", 0])}
    error = only_error(prompt, "1")
    assert error["details"] == "letter: 'z' not in (list of length 21)"
    assert error["extra_info"] == {
        "input_name": "letter",
        "input_config": None,
        "received_value": "z",
    }


def test_weights_that_are_not_there_are_not_in_the_list():
    assert only_error(changed("1", ckpt_name="../x"), "1")["type"] == "value_not_in_list"


@pytest.mark.parametrize(
    ("name", "value", "exception"),
    [
        ("steps", "many", "invalid literal for int() with base 10: 'many'"),
        ("steps", "nan", "invalid literal for int() with base 10: 'nan'"),
        ("cfg", "high", "could not convert string to float: 'high'"),
        ("cfg", "nan", "the value is NaN or Infinity, which are no JSON numbers"),
        ("cfg", "inf", "the value is NaN or Infinity, which are no JSON numbers"),
        ("cfg", 2**1024 - 1, "int too large to convert to float"),
        ("seed", "9" * 400, "the value is an integer of more than 1024 bits"),
    ],
)
def test_what_cannot_be_converted_is_told_with_the_reason(name: str, value: Any, exception: str):
    error = only_error(changed("5", **{name: value}), "5")
    assert error["type"] == "invalid_input_type"
    assert error["extra_info"]["exception_message"] == exception
    assert error["details"].startswith(f"{name}, ")


@pytest.mark.parametrize("received", [[], ["1"], ["1", 0, 0], [None, 0], ["1", 0.5]])
def test_a_list_that_is_no_link_is_a_bad_link(received: list[Any]):
    error = only_error(changed("6", vae=received), "6")
    assert error["type"] == "bad_linked_input"
    assert error["extra_info"]["received_value"] == received


@pytest.mark.covers("R093")
@pytest.mark.parametrize("value", ["vae", 5, None, {}])
def test_a_value_where_only_a_wire_can_be_is_a_bad_link(value: Any):
    assert only_error(changed("6", vae=value), "6")["type"] == "bad_linked_input"


@pytest.mark.covers("R078", "R099")
def test_an_unknown_output_name_is_told_with_the_names_there_are():
    error = only_error(changed("6", vae=["1", "WHAT"]), "6")
    assert error["message"] == (
        "Node '1' (CheckpointLoaderSimple) has no output named 'WHAT'; it has MODEL, CLIP, VAE"
    )
    assert error["extra_info"]["outputs"] == ["MODEL", "CLIP", "VAE"]


@pytest.mark.parametrize("slot", [3, -1, 2**70])
def test_an_output_index_beyond_the_outputs_is_an_index_error(slot: int):
    error = only_error(changed("6", vae=["1", slot]), "6")
    assert error["type"] == "exception_during_inner_validation"
    assert error["details"] == "tuple index out of range"
    assert error["extra_info"]["outputs"] == ["MODEL", "CLIP", "VAE"]


def test_a_link_to_a_missing_node_is_a_key_error_where_the_link_is():
    error = only_error(changed("6", vae=["99", 0]), "6")
    assert (error["type"], error["details"]) == ("exception_during_inner_validation", "'99'")
    error = only_error(changed("7", images=["99", 0]), "7")
    assert (error["type"], error["details"]) == ("exception_during_validation", "'99'")
    assert error["extra_info"]["hint"] == (
        "input 'images' is linked to node '99', which is not in the prompt"
    )


def test_a_file_that_was_never_uploaded_is_an_invalid_image_file():
    prompt = {"1": used("LoadImage", image="cat.png"), "2": used("PreviewImage", images=["1", 0])}
    assert checked(prompt).outputs == ("2",)
    assert checked(prompt, uploads={"cat.png"}).outputs == ("2",)
    error = only_error(prompt, "1", uploads={"dog.png"})
    assert error["type"] == "custom_validation_failed"
    assert error["details"] == "image - Invalid image file: cat.png"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("a/cat.png [input]", "a/cat.png"),
        ("cat.png [output]", "cat.png [output]"),
        ("cat [1].png [temp]", "cat [1].png [temp]"),
    ],
)
def test_uploads_are_found_under_their_annotated_names(name: str, known: str):
    prompt = {"1": used("LoadImage", image=name), "2": used("PreviewImage", images=["1", 0])}
    assert checked(prompt, uploads={known}).outputs == ("2",)
    assert refusal_of(prompt, uploads={f"{known}x"}).node_errors


def test_a_type_that_judges_an_input_itself_is_left_to_do_so():
    prompt = {"1": used("Judge", level=10), "2": used("Show", it=["1", 0])}
    assert checked(prompt).outputs == ("2",)
    prompt["1"]["inputs"]["level"] = "high"
    assert only_error(prompt, "1")["type"] == "invalid_input_type"


def test_wires_to_a_type_that_takes_anything_are_checked_too():
    prompt = {
        "1": used("CheckpointLoaderSimple", ckpt_name="demo.safetensors"),
        "2": used("Open", whatever=["1", "vae"], amount=3),
        "3": used("Show", it=["2", 0]),
    }
    assert checked(prompt).graph.nodes["2"].inputs == {"whatever": Link("1", 2), "amount": 3}
    prompt["2"]["inputs"]["whatever"] = ["9", 0]
    assert only_error(prompt, "2")["details"] == "'9'"
    prompt["2"]["inputs"]["whatever"] = ["1", 0, 0]
    assert only_error(prompt, "2")["type"] == "bad_linked_input"
