"""A typed function is a node type: everything the editor shows is read off its signature."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pytest

from libs.graph.schema import MISSING, InputSpec, OutputSpec
from libs.nodes.context import Context
from libs.nodes.declare import Choices, Shown, Widget, node
from libs.nodes.handbook import page
from libs.nodes.registry import load, schemas
from libs.nodes.sockets import Image, Latent, Mask, Model

GOLDEN = Path(__file__).parent / "node_types.json"


class Pair(NamedTuple):
    first: Annotated[Image, "The one."]
    SECOND: Mask


@node("Everything", title="Every Thing", category="a/b", hidden={"prompt": "PROMPT"})
def everything(
    context: Context,
    *,
    model: Annotated[Model, "A tooltip."],
    either: Image | Mask,
    whole: Annotated[int, Widget(min=1, max=9, step=2)] = 3,
    part: float = 0.5,
    text: Annotated[str, Widget(multiline=True)] = "",
    switch: Annotated[bool, Widget(label_on="yes")] = True,
    method: Literal["fast", "good"],
    lora: Annotated[str, Choices("loras")] | None = None,
    picture: Annotated[str, Choices("input", upload=True)],
    anything: object = None,
    mask: Mask | None = None,
) -> Shown[Pair]:
    """Do it all,
    in one go.

    And more.
    """
    raise NotImplementedError


def spec(name: str) -> InputSpec:
    found = everything.schema.input(name)
    assert found is not None
    return found


def test_the_head_of_a_node_type_is_its_decorator_and_its_docstring():
    schema = everything.schema
    assert schema.display_name == "Every Thing"
    assert schema.description == "Do it all, in one go."
    assert schema.function == f"{__name__}:everything"
    assert dict(schema.hidden) == {"prompt": "PROMPT"}
    assert everything.wants_context


@pytest.mark.covers(*(f"R{number:03}" for number in range(89, 93)))
def test_annotations_are_types():
    kinds = {one.name: one.type for one in everything.schema.inputs}
    assert kinds == {
        "model": "MODEL",
        "either": "IMAGE,MASK",
        "whole": "INT",
        "part": "FLOAT",
        "text": "STRING",
        "switch": "BOOLEAN",
        "method": "COMBO",
        "lora": "COMBO",
        "picture": "COMBO",
        "anything": "*",
        "mask": "MASK",
    }


def test_optional_is_none_and_a_default_is_a_default():
    optional = [one.name for one in everything.schema.inputs if not one.required]
    assert optional == ["lora", "mask"]
    assert spec("whole").default == 3
    assert spec("whole").required
    assert spec("mask").default is None
    assert spec("model").default is MISSING


def test_hints_choices_and_tooltips_arrive():
    assert (spec("whole").min, spec("whole").max, spec("whole").step) == (1, 9, 2)
    assert spec("text").multiline
    assert spec("switch").label_on == "yes"
    assert spec("method").options == ("fast", "good")
    assert spec("lora").choices == "loras"
    assert spec("picture").image_upload
    assert spec("model").tooltip == "A tooltip."


def test_a_named_tuple_is_several_outputs_in_order():
    assert everything.schema.outputs == (
        OutputSpec(name="first", type="IMAGE", tooltip="The one."),
        OutputSpec(name="SECOND", type="MASK"),
    )


def test_a_single_output_is_named_after_its_type():
    @node("One", title="One", category="x")
    def one(*, latent: Latent) -> Latent:
        """Return it."""
        return latent

    assert one.schema.outputs == (OutputSpec(name="LATENT", type="LATENT"),)
    itself: Any = object()
    assert one(latent=itself) is itself


def test_a_type_that_is_no_socket_is_refused_when_declared():
    with pytest.raises(TypeError, match="neither a socket nor a widget"):

        @node("Bad", title="Bad", category="x")
        def bad(*, thing: bytes) -> Latent:
            """Do nothing."""
            raise NotImplementedError


def printed() -> Any:
    """Return all schemas as JSON, without what is at its default."""
    plain = asdict(InputSpec(name="", type=""))
    out: dict[str, Any] = {}
    for name, schema in schemas().items():
        inputs = {
            one.name: {
                key: value
                for key, value in asdict(one).items()
                if (key in ("type", "required") or value != plain[key])
                and key not in ("name", "tooltip")
            }
            for one in schema.inputs
        }
        out[name] = {
            "title": schema.display_name,
            "category": schema.category,
            "inputs": inputs,
            "order": list(inputs),
            "outputs": [[one.name, one.type] for one in schema.outputs],
            "output_node": schema.output_node,
            "hidden": dict(schema.hidden),
        }
    return json.loads(json.dumps(out))


@pytest.mark.covers(
    "R080", "R081", "R082", "R083", "R084", "R100", "R101", "R102", "R103", "R104", "R105"
)
def test_the_node_types_are_those_that_clients_know():
    """Names, order, defaults and bounds are a contract: workflows of others hold them."""
    assert printed() == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_every_node_type_and_every_input_explains_itself():
    for schema in schemas().values():
        assert schema.description.endswith("."), schema.type
        assert len({output.name for output in schema.outputs}) == len(schema.outputs)


def test_the_registry_knows_each_type_by_its_own_name():
    for name, found in load().items():
        assert found.schema.type == name
        module, _, function = found.schema.function.partition(":")
        assert getattr(sys.modules[module], function) is found


@pytest.mark.covers("R032")
def test_node_types_are_known_without_torch():
    program = (
        "import sys, libs.nodes.registry as r; r.schemas(); "
        "print(sorted({'torch', 'diffusers', 'transformers', 'safetensors'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[4],
        env=dict(os.environ),
    )
    assert told.stdout.strip() == "[]"


def test_the_page_about_node_types_is_in_step():
    written = (Path(__file__).parents[4] / "docs/nodes.md").read_text(encoding="utf-8")
    assert written == page(schemas()), "run: python -m libs.nodes.handbook > docs/nodes.md"


@pytest.mark.covers("R023")
def test_every_node_type_is_one_operation_and_each_its_own():
    functions = [schema.function for schema in schemas().values()]
    assert len(set(functions)) == len(functions)
    for function in functions:
        module, _, name = function.partition(":")
        assert callable(getattr(importlib.import_module(module), name)), function
    roles = {"CheckpointLoaderSimple", "CLIPTextEncode", "KSampler", "VAEDecode", "ControlNetApply"}
    assert roles <= set(schemas())
