"""The workflows of the docs that use adapters, from files to pictures, on small networks."""

from __future__ import annotations

import copy
import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.gpu_worker.results import ResultMemory
from tests.unit.libs.diffusion import tiny
from tests.unit.libs.diffusion.test_diffusion_graphs import DEMO, pictures
from tests.unit.libs.diffusion.tiny_adapters import photo, workflow, write_weights


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    root: Path = tmp_path_factory.mktemp("house")
    models = root / "models"
    write_weights(models)
    upscaler = "upscale/realesr-animevideov3-x4.safetensors"
    (models / "upscale").mkdir()
    (models / upscaler).symlink_to(DEMO / Path(upscaler).name)
    (root / "input").mkdir()
    for number, name in enumerate(("photo", "style")):
        photo(number).save(root / f"input/{name}.png")
    return root


def pixels(data) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.covers("R045")
@pytest.mark.parametrize(
    ("name", "node", "changed"),
    [
        ("lora_combination", "11", {"strength_model": 0.0}),
        ("lora_combination", "10", {"strength_clip": 0.0}),
        ("controlnet_edges", "13", {"strength": 0.0}),
        ("two_passes", "11", {"denoise": 0.3}),
    ],
)
def test_a_workflow_of_the_docs_runs_and_each_part_counts(house, name, node, changed):
    graph = workflow(name)
    other = copy.deepcopy(graph)
    other[node]["inputs"] |= changed
    (first,), (second,) = pictures(house, graph), pictures(house, other)
    assert pixels(first).std() > 1
    assert not np.array_equal(pixels(first), pixels(second))


@pytest.mark.covers("R013", "R014")
def test_everything_in_one_graph_gives_the_same_pixels_again(house):
    graph = workflow("everything_in_one")
    (first,), (again,) = pictures(house, graph), pictures(house, graph)
    assert pixels(first).shape == (256, 256, 3)
    digests = {hashlib.sha256(pixels(data).tobytes()).hexdigest() for data in (first, again)}
    assert len(digests) == 1
    loader, memory = tiny.loader(), ResultMemory(2**26)
    for node, changed in (
        ("10", {"strength_model": 0.0, "strength_clip": 0.0}),
        ("14", {"weight": 0.0}),
        ("18", {"strength": 0.0}),
        ("4", {"grow_mask_by": 32}),
    ):
        other = copy.deepcopy(graph)
        other[node]["inputs"] |= changed
        (without,) = pictures(house, other, loader, memory)
        assert not np.array_equal(pixels(without), pixels(first)), node


@pytest.mark.covers("R024", "R025")
def test_what_one_sampler_made_leads_the_next_in_a_graph_of_everything(house):
    graph = workflow("everything_in_one")
    sampler = graph["5"]
    graph |= {
        "30": {"class_type": "Canny", "inputs": graph["16"]["inputs"] | {"image": ["6", 0]}},
        "31": {
            "class_type": "ControlNetApply",
            "inputs": graph["18"]["inputs"] | {"image": ["30", 0]},
        },
        "32": {
            "class_type": "LatentUpscale",
            "inputs": {
                "samples": ["5", 0],
                "upscale_method": "bislerp",
                "width": 128,
                "height": 128,
                "crop": "disabled",
            },
        },
        "33": {
            "class_type": "KSampler",
            "inputs": sampler["inputs"]
            | {"positive": ["31", 0], "latent_image": ["32", 0], "seed": 43, "denoise": 0.6},
        },
        "34": {"class_type": "VAEDecode", "inputs": {"samples": ["33", 0], "vae": ["1", 2]}},
    }
    graph["20"]["inputs"]["image"] = ["34", 0]
    loader, memory = tiny.loader(), ResultMemory(2**26)
    (large,) = pictures(house, graph, loader, memory)
    assert pixels(large).shape == (512, 512, 3)
    # What leads the second sampler shows before the picture is enlarged.
    graph["7"]["inputs"]["images"] = ["34", 0]
    (made,) = pictures(house, graph, loader, memory)
    assert pixels(made).shape == (128, 128, 3)
    for node, changed in (
        ("5", {"seed": 7}),
        ("31", {"strength": 0.0}),
        ("33", {"seed": 7}),
    ):
        other = copy.deepcopy(graph)
        other[node]["inputs"] |= changed
        (without,) = pictures(house, other, loader, memory)
        assert not np.array_equal(pixels(without), pixels(made)), node
