"""Node types as the two kinds of clients read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from libs.graph.schema import Catalogue, InputSpec, OutputSpec
from libs.nodes.dialects import (
    node_definition,
    node_definitions,
    object_info,
    object_info_entry,
)
from libs.nodes.registry import load, schemas
from tests.unit.libs.graph.sample import CATALOGUE, CORE_TYPES, combo, files, kind, text, wire

GOLDEN = Path(__file__).parent / "dialects"
EVERYTHING = kind(
    "Everything",
    (
        wire("model", "MODEL", tooltip="Goes in."),
        text(multiline=True, dynamic_prompts=True, default=""),
        InputSpec(
            name="amount", type="FLOAT", default=0.5, min=0, max=1, step=0.1, round=0.01,
            display="slider", advanced=True,
        ),
        InputSpec(name="seed", type="INT", default=0, max=2**64 - 1, control_after_generate=True),
        InputSpec(name="on", type="BOOLEAN", default=True, label_on="yes", label_off="no"),
        combo("method", "fast", "good", default="good"),
        files("image", "input", image_upload=True),
        files("lora", "loras", required=False),
        InputSpec(name="count", type="INT", socket=True, required=False, lazy=True),
        wire("either", "IMAGE,MASK", required=False),
    ),
    "IMAGE list:IMAGE",
    display_name="Every Thing",
    category="test/all",
    description="Shows every option.",
    output_node=True,
    hidden={"prompt": "PROMPT", "unique_id": "UNIQUE_ID"},
    search_aliases=("all",),
    experimental=True,
)  # fmt: skip
HOUSE = Catalogue({**CATALOGUE.types, "Everything": EVERYTHING}, CATALOGUE.choices)
SHOWN = ("Everything", "KSampler", "SaveImage", "CheckpointLoaderSimple", "MakeIMAGE")
REAL = Catalogue(schemas(), CATALOGUE.choices)


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.mark.parametrize("name", SHOWN)
def test_object_info_reads_as_the_editor_knows_it(name: str):
    assert object_info(HOUSE)[name] == golden("object_info")[name]


@pytest.mark.covers("R067", "R068", "R069", "R070", "R071", "R072", "R074", "R076", "R077", "R078")
@pytest.mark.parametrize("name", SHOWN)
def test_node_definitions_read_as_the_specification_says(name: str):
    assert node_definitions(HOUSE)[name] == golden("node_definitions")[name]


def test_the_order_of_inputs_is_the_order_of_declaration():
    entry: Any = object_info_entry(EVERYTHING, HOUSE)
    assert entry["input_order"]["required"] == [
        "model", "text", "amount", "seed", "on", "method", "image",
    ]  # fmt: skip
    assert list(entry["input"]["required"]) == entry["input_order"]["required"]
    assert entry["input_order"]["hidden"] == ["prompt", "unique_id"]


def test_tooltips_of_outputs_are_shown_only_if_there_are_any():
    plain: Any = object_info_entry(kind("A", (), "IMAGE"), HOUSE)
    assert "output_tooltips" not in plain
    told = OutputSpec(name="IMAGE", type="IMAGE", tooltip="The picture.")
    schema = type(EVERYTHING)(
        type="A", display_name="A", category="c", function="f:g", outputs=(told,)
    )
    assert object_info_entry(schema, HOUSE)["output_tooltips"] == ["The picture."]


def test_the_largest_seed_survives_as_an_exact_number():
    entry = json.loads(json.dumps(object_info_entry(EVERYTHING, HOUSE)))
    assert entry["input"]["required"]["seed"][1]["max"] == 18446744073709551615


@pytest.mark.covers("R077")
def test_a_list_that_depends_on_files_is_read_when_it_is_shown():
    grown = Catalogue(HOUSE.types, {**HOUSE.choices, "loras": ("new.safetensors",)})
    entry: Any = object_info_entry(EVERYTHING, grown)
    definition: Any = node_definition(EVERYTHING, grown)
    assert entry["input"]["optional"]["lora"] == [["new.safetensors"], {}]
    assert definition["inputs"]["lora"]["options"] == ["new.safetensors"]


# What every real node type keeps to


@pytest.mark.covers("R067", "R068", "R079")
@pytest.mark.parametrize("name", sorted(schemas()))
def test_a_real_node_type_says_who_it_is_and_what_runs_it(name: str):
    definition: Any = node_definition(schemas()[name], REAL)
    assert definition["type"] == name
    assert definition["display_name"].strip()
    assert definition["category"].strip()
    module, _, function = definition["function"].partition(":")
    assert (load()[name].function.__module__, load()[name].function.__name__) == (module, function)


@pytest.mark.covers("R078")
@pytest.mark.parametrize("name", sorted(schemas()))
def test_the_outputs_of_a_real_node_type_differ_whatever_the_case(name: str):
    names = [output.name.casefold() for output in schemas()[name].outputs]
    assert len(names) == len(set(names))


@pytest.mark.covers("R071", "R077")
@pytest.mark.parametrize("name", sorted(schemas()))
def test_a_real_node_definition_has_only_types_of_sockets_and_widgets(name: str):
    definition: Any = node_definition(schemas()[name], REAL)
    slots = [*definition["inputs"].values(), *definition["outputs"].values()]
    for slot in slots:
        for part in slot["type"].split(","):
            assert part == "*" or part in CORE_TYPES or part.isupper()
            assert part not in {"COMBO", "ENUM"}
    for slot in definition["inputs"].values():
        assert "options" not in slot or slot["type"] == "STRING"


@pytest.mark.parametrize("name", sorted(schemas()))
def test_a_real_entry_has_all_that_the_editor_requires(name: str):
    entry: Any = object_info_entry(schemas()[name], REAL)
    assert entry["name"] == name
    assert entry["python_module"] == "nodes"
    for key in ("display_name", "description", "category"):
        assert isinstance(entry[key], str)
    assert isinstance(entry["output_node"], bool)
    lengths = {len(entry[key]) for key in ("output", "output_name", "output_is_list")}
    assert len(lengths) == 1
    for group, names in entry["input_order"].items():
        assert names == list(entry["input"][group])
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry


def test_a_switch_says_that_what_comes_out_is_what_went_in():
    entry: Any = object_info_entry(schemas()["ComfySwitchNode"], REAL)
    kind, options = entry["input"]["required"]["on_true"]
    assert kind == "COMFY_MATCHTYPE_V3"
    assert options["template"] == {"template_id": "switch", "allowed_types": "*"}
    assert options["lazy"] is True
    assert entry["output"] == ["COMFY_MATCHTYPE_V3"]
    assert entry["output_matchtypes"] == ["switch"]
    definition: Any = node_definition(schemas()["ComfySwitchNode"], REAL)
    assert definition["outputs"] == {"output": {"type": "*"}}
