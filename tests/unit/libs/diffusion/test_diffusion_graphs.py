"""Whole graphs, from the checkpoint's file to the picture's."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from libs.graph.parse import parse
from libs.graph.plan import plan
from libs.graph.schema import Catalogue
from libs.nodes.context import Loader
from libs.nodes.local import LocalContext
from libs.nodes.registry import load, schemas
from services.gpu_worker.executor import Executor
from services.gpu_worker.results import ResultMemory
from tests.unit.libs.diffusion import tiny
from tests.unit.silent import Silent

ROOT = Path(__file__).parents[4]
DATA = ROOT / "tests/data"
DEMO = ROOT / "libs/weights/demo"


def pictures(
    root: Path, graph: Any, loader: Any = None, memory: ResultMemory | None = None
) -> list[bytes]:
    """Execute a graph in `root` and return the files its pictures were saved in.

    What `memory` knows of the graph is not executed again, as in an engine.
    """
    parsed = parse(graph)
    outputs = [one for one, node in parsed.nodes.items() if node.type == "SaveImage"]
    loader = cast("Loader", loader or tiny.loader())
    executed = Executor(load(), memory or ResultMemory(2**26)).execute(
        parsed,
        plan(parsed, Catalogue(schemas()), outputs),
        lambda node_id: LocalContext(
            root=root, loader=loader, node_id=node_id, prompt=graph, hip_workflow=None
        ),
        Silent(),
    )
    saved: Any = [one for ui in executed.ui.values() for one in cast("Any", ui["images"])]
    return [(root / one["type"] / one["subfolder"] / one["filename"]).read_bytes() for one in saved]


def shorter(graph: Any) -> Any:
    """Return the example with a small picture and few steps, and nothing else changed."""
    changed = copy.deepcopy(graph)
    nodes = changed.get("nodes", changed)
    nodes["4"]["inputs"] |= {"width": 64, "height": 128}
    nodes["5"]["inputs"]["steps"] = 3
    return changed


@pytest.mark.covers("R100", "R101", "R102", "R103", "R104", "R105", "R120")
def test_the_examples_in_both_dialects_give_the_same_picture(tmp_path):
    weights = tmp_path / "models/checkpoints/sdxl_base_1.0.safetensors"
    tiny.written(weights, tiny.sdxl())
    made = []
    for name in ("comfy_example", "hip35_example"):
        graph = shorter(json.loads((DATA / f"{name}.json").read_text(encoding="utf-8")))
        made += pictures(tmp_path, graph)
    first, second = (np.asarray(Image.open(io.BytesIO(data))) for data in made)
    assert first.shape == (128, 64, 3)
    assert first.std() > 1
    assert np.array_equal(first, second)
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == [
        "hanzo_gen_00001_.png",
        "hanzo_gen_00002_.png",
    ]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    for folder, name in (
        ("checkpoints", "hanzo-demo-64.safetensors"),
        ("upscale", "realesr-animevideov3-x4.safetensors"),
    ):
        (root / "models" / folder).mkdir(parents=True)
        (root / "models" / folder / name).symlink_to(DEMO / name)
    return root


@pytest.mark.covers("R085", "R100", "R104", "R105")
def test_the_demo_draws_the_colours_it_is_told(demo):
    graph = json.loads((DEMO / "graph.json").read_text(encoding="utf-8"))
    for text, inside, outside in (
        ("a red circle on a blue background", 0, 2),
        ("a green square on a red background", 1, 0),
    ):
        graph["positive"]["inputs"]["text"] = text
        (data,) = pictures(demo, graph)
        pixels = np.asarray(Image.open(io.BytesIO(data))).astype(int)
        assert pixels.shape == (256, 256, 3)
        assert pixels[112:144, 112:144].mean((0, 1)).argmax() == inside, text
        assert pixels[:24, :24].mean((0, 1)).argmax() == outside, text


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(demo):
    graph = json.loads((DEMO / "graph.json").read_text(encoding="utf-8"))
    graph["sampler"]["inputs"] |= {"steps": 3, "sampler_name": "euler_ancestral"}
    (first,) = pictures(demo, graph)
    (again,) = pictures(demo, graph)
    graph["sampler"]["inputs"]["seed"] += 1
    (other,) = pictures(demo, graph)
    assert first == again
    assert Image.open(io.BytesIO(first)).tobytes() != Image.open(io.BytesIO(other)).tobytes()
