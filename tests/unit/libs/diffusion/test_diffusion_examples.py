"""The example workflows are sound in both dialects, and paint on every kind of model."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from libs.graph.architectures import ARCHITECTURES
from libs.graph.check import check
from libs.graph.effective import effective_input
from libs.graph.parse import parse
from libs.graph.schema import Catalogue
from libs.graph.value import Link
from libs.nodes import registry
from tests.unit.libs.diffusion import layouts, tiny
from tests.unit.libs.diffusion.test_diffusion_graphs import pictures
from tests.unit.libs.diffusion.tiny_adapters import photo, redux, siglip_tensors

EXAMPLES = Path(registry.__file__).parent / "examples"
DIALECTS = ("comfy", "hip35")
NAMES = ("sd15", "sdxl", "sdxl_refiner", "sd35", "flux_dev", "flux_schnell", "flux_redux")
KINDS = {"sd15": "sd1", "sdxl": "sdxl", "sdxl_refiner": "sdxl", "sd35": "sd3"}
SIZED = ("EmptyLatentImage", "EmptySD3LatentImage")


def example(name: str, dialect: str = "comfy") -> Any:
    return json.loads((EXAMPLES / f"{name}.{dialect}.json").read_text(encoding="utf-8"))


def small(graph: Any) -> Any:
    """Return an example with a small picture and few steps, and nothing else changed."""
    changed = copy.deepcopy(graph)
    for node in changed.get("nodes", changed).values():
        kind, inputs = node.get("type", node.get("class_type")), node["inputs"]
        if kind in SIZED:
            inputs |= {"width": 64, "height": 64}
        if kind == "KSampler":
            inputs["steps"] = 2
        if kind == "KSamplerAdvanced":
            inputs["steps"] = 4
            inputs["start_at_step"] = 2 if inputs["start_at_step"] else 0
            inputs["end_at_step"] = 2 if inputs["end_at_step"] == 20 else 10000
    return changed


def with_choices(graph: Any) -> Catalogue:
    """Return the catalogue of a fleet that holds the files that a graph names."""
    schemas = registry.schemas()
    choices: dict[str, list[str]] = {}
    for node in graph.nodes.values():
        for spec in schemas[node.type].inputs:
            value = effective_input(node, schemas[node.type], spec.name)
            if spec.choices is not None and isinstance(value, str):
                choices.setdefault(spec.choices, []).append(value)
    return Catalogue(schemas, {folder: tuple(names) for folder, names in choices.items()})


def test_there_is_an_example_of_each_kind_in_both_dialects():
    found = {path.name for path in EXAMPLES.iterdir()}
    assert {f"{name}.{dialect}.json" for name in NAMES for dialect in DIALECTS} <= found


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_accepted_and_says_everything(name, dialect):
    graph = parse(example(name, dialect))
    catalogue = with_choices(graph)
    checked = check(graph, catalogue)
    assert checked.outputs == ("save",)
    for node in graph.nodes.values():
        declared = {spec.name for spec in catalogue.types[node.type].inputs if spec.required}
        assert declared == set(node.inputs), node.id


@pytest.mark.parametrize("name", NAMES)
def test_both_dialects_say_the_same(name):
    flat, named = (parse(example(name, dialect)) for dialect in DIALECTS)
    assert flat.nodes.keys() == named.nodes.keys()
    for node_id, node in flat.nodes.items():
        other = named.nodes[node_id]
        assert node.type == other.type
        for field, value in node.inputs.items():
            if isinstance(value, Link):
                assert isinstance(other.inputs[field], Link)
            else:
                assert other.inputs[field] == value


@pytest.mark.covers("R116", "R120", "R125")
@pytest.mark.parametrize("name", NAMES)
def test_an_example_paints_at_the_size_its_model_was_trained_at(name):
    facts = next(f for f in ARCHITECTURES if f.name == KINDS.get(name, "flux"))
    for node in example(name).values():
        if node["class_type"] in SIZED:
            assert node["inputs"]["width"] == facts.width
            assert node["inputs"]["height"] == facts.height


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Any:
    """Return a house's folder with a tiny model of each kind under the examples' names."""
    root = tmp_path_factory.mktemp("examples")
    models = root / "models"
    torch.manual_seed(31)
    checkpoints = {
        "sd15": tiny.sd1(),
        "sd_xl_base_1.0": tiny.sdxl(),
        "sd_xl_refiner_1.0": tiny.refiner(),
        "sd3.5_large": layouts.sd3_tensors(layouts.sd3(layouts.SD35_LARGE))
        | layouts.vae16_tensors(),
    }
    for name, tensors in checkpoints.items():
        tiny.written(models / f"checkpoints/{name}.safetensors", tensors)
    for name, config in (("dev", layouts.FLUX_DEV), ("schnell", layouts.FLUX)):
        tensors = layouts.flux_tensors(layouts.flux(config))
        tiny.written(models / f"diffusion_models/flux1-{name}.safetensors", tensors)
    tiny.written(models / "vae/ae.safetensors", layouts.vae16_tensors(""))
    encoders = models / "text_encoders"
    for name, encoder in (
        ("clip_l", tiny.text_encoder(64, 2)),
        ("clip_g", tiny.text_encoder(128, 31, "gelu")),
    ):
        tensors = {f"text_model.{key}": t for key, t in encoder.state_dict().items()}
        width = encoder.config.hidden_size
        tensors["text_projection.weight"] = torch.randn(width, width) / width**0.5
        tiny.written(encoders / f"{name}.safetensors", tensors)
    tiny.written(encoders / "t5xxl_fp16.safetensors", layouts.t5_tensors(layouts.t5()))
    tiny.written(models / "style_models/flux1-redux-dev.safetensors", redux(4096))
    vision = models / "clip_vision/sigclip_vision_patch14_384.safetensors"
    tiny.written(vision, siglip_tensors())
    (root / "input").mkdir()
    photo(1).resize((96, 64)).save(root / "input/reference.png")
    photo(2).save(root / "input/other.png")
    (encoders / "tokenizer.json").write_text(layouts.word_tokenizer().to_str())
    return root


# One for all, so that what is read once stays read.
LOADER = tiny.loader()


def painted(root: Path, graph: Any) -> np.ndarray[Any, Any]:
    (data,) = pictures(root, graph, LOADER)
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


@pytest.mark.covers("R116", "R120", "R124", "R125", "R133", "R134")
@pytest.mark.parametrize("name", NAMES)
def test_an_example_paints_the_same_in_both_dialects(root, name):
    first, second = (painted(root, small(example(name, dialect))) for dialect in DIALECTS)
    assert first.shape == (64, 64, 3)
    assert first.std() > 1
    assert np.array_equal(first, second)


CHANGES = [
    ("sdxl_refiner", "refined_positive", {"ascore": 900.0}),
    ("sdxl_refiner", "positive", {"text_g": "an old house"}),
    ("sdxl_refiner", "positive", {"text_l": "an old house"}),
    ("sdxl_refiner", "positive", {"crop_w": 900}),
    ("sdxl_refiner", "second", {"start_at_step": 3}),
    ("sd35", "positive", {"text": "an old house"}),
    ("sd35", "sampler", {"cfg": 9.0}),
    ("flux_dev", "guidance", {"guidance": 30.0}),
    ("flux_dev", "positive", {"text": "an old house"}),
    ("flux_dev", "sampler", {"seed": 43}),
    ("flux_redux", "reference", {"image": "other.png"}),
    ("flux_redux", "seen", {"crop": "none"}),
    ("flux_redux", "styled", {"strength": 0.8}),
    ("flux_schnell", "positive", {"text": "an old house"}),
    ("flux_schnell", "model", {"weight_dtype": "fp8_e5m2"}),
]


@pytest.fixture(scope="module")
def unchanged(root) -> dict[str, Any]:
    return {name: painted(root, small(example(name))) for name in {one[0] for one in CHANGES}}


@pytest.mark.parametrize(("name", "node", "inputs"), CHANGES)
def test_each_input_changes_the_picture(root, unchanged, name, node, inputs):
    graph = small(example(name))
    graph[node]["inputs"] |= inputs
    assert not np.array_equal(painted(root, graph), unchanged[name])


def test_without_guidance_the_negative_of_flux_is_never_asked(root, unchanged):
    graph = small(example("flux_dev"))
    graph["negative"] = copy.deepcopy(graph["positive"])
    graph["negative"]["inputs"]["text"] = "an old house"
    assert np.array_equal(painted(root, graph), unchanged["flux_dev"])
    graph["sampler"]["inputs"]["cfg"] = 4.0
    assert not np.array_equal(painted(root, graph), unchanged["flux_dev"])
