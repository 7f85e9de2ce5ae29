"""Schemas of node types travel as JSON and come back equal."""

from __future__ import annotations

import json

import pytest

from libs.core.errors import Refused
from libs.core.jsonvalue import JsonObject
from libs.graph.schema import InputSpec, NodeSchema, OutputSpec
from libs.graph.schema_json import from_json, to_json
from libs.nodes.registry import schemas


@pytest.mark.parametrize("name", sorted(schemas()))
def test_every_node_type_of_ours_comes_back_as_it_was(name):
    schema = schemas()[name]
    assert from_json(json.loads(json.dumps(to_json(schema)))) == schema


def test_what_only_packs_have_comes_back_too():
    schema = NodeSchema(
        type="Theirs",
        display_name="Theirs",
        category="a/b",
        function="pack:Theirs",
        inputs=(
            InputSpec(name="a", type="INT", default=None, lazy=True, hints={"hidden": True}),
            InputSpec(name="b", type="*", required=False, raw_link=True),
            InputSpec(name="c", type="COMBO", options=()),
        ),
        outputs=(OutputSpec(name="out", type="IMAGE", is_list=True),),
        hidden={"id": "UNIQUE_ID"},
        validates=frozenset({"a"}),
        validates_types=True,
        expands=True,
        fills_defaults=False,
    )
    assert from_json(json.loads(json.dumps(to_json(schema)))) == schema


def test_what_a_newer_worker_says_beside_is_left_out():
    told: JsonObject = {
        "type": "T",
        "display_name": "T",
        "category": "c",
        "function": "f",
        "later": 1,
    }
    assert from_json(told) == NodeSchema(type="T", display_name="T", category="c", function="f")


@pytest.mark.parametrize("told", [None, [], "text", {}, {"type": "T"}, {"inputs": 3}])
def test_what_is_no_schema_is_refused(told):
    with pytest.raises(Refused):
        from_json(told)
