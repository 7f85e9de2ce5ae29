"""The workflows of the docs that use adapters, from files to pictures, on small networks."""

from __future__ import annotations

import copy
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.libs.diffusion import tiny
from tests.unit.libs.diffusion.test_diffusion_control import network
from tests.unit.libs.diffusion.test_diffusion_graphs import DEMO, pictures
from tests.unit.libs.diffusion.test_diffusion_ip_adapter import plus, vision

WORKFLOWS = Path(__file__).parents[4] / "docs/workflows"
QUERY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
TEXT = "lora_te_text_model_encoder_layers_0_mlp_fc1"


def lora(seed) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {
        f"{QUERY}.lora_up.weight": torch.randn(16, 2),
        f"{QUERY}.lora_down.weight": torch.randn(2, 16),
        f"{TEXT}.lora_up.weight": torch.randn(128, 2),
        f"{TEXT}.lora_down.weight": torch.randn(2, 64),
    }


def photo(seed) -> Image.Image:
    rows, columns = np.mgrid[0:64, 0:64]
    waves = [127 + 90 * np.sin(rows / (5 + seed)), 2 * columns, 100 + 80 * np.cos(columns / 7)]
    alpha = np.full((64, 64), 255)
    alpha[16:48, 16:48] = 0
    return Image.fromarray(np.dstack([*waves, alpha]).astype(np.uint8))


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    root: Path = tmp_path_factory.mktemp("house")
    models = root / "models"
    for name, tensors in (
        ("checkpoints/v1-5-pruned-emaonly-fp16", tiny.sd1()),
        ("loras/pixel_art_v2", lora(1)),
        ("loras/soft_light", lora(2)),
        ("controlnet/control_v11p_sd15_canny_fp16", network(tiny.SD1_UNET).state_dict()),
        ("ipadapter/ip-adapter-plus_sd15", plus()),
        ("clip_vision/CLIP-ViT-H-14-laion2B-s32B-b79K", vision().state_dict()),
    ):
        tiny.written(models / f"{name}.safetensors", tensors)
    upscaler = "upscale/realesr-animevideov3-x4.safetensors"
    (models / "upscale").mkdir()
    (models / upscaler).symlink_to(DEMO / Path(upscaler).name)
    (root / "input").mkdir()
    for number, name in enumerate(("photo", "style")):
        photo(number).save(root / f"input/{name}.png")
    return root


def workflow(name) -> Any:
    """Return a workflow of the docs, small and of few steps."""
    graph = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    for node in graph.values():
        for side in ("width", "height"):
            if side in node["inputs"]:
                node["inputs"][side] //= 8
        if "steps" in node["inputs"]:
            node["inputs"]["steps"] = 3
    return graph


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
    for node, changed in (
        ("10", {"strength_model": 0.0, "strength_clip": 0.0}),
        ("14", {"weight": 0.0}),
        ("18", {"strength": 0.0}),
        ("4", {"grow_mask_by": 32}),
    ):
        other = copy.deepcopy(graph)
        other[node]["inputs"] |= changed
        (without,) = pictures(house, other)
        assert not np.array_equal(pixels(without), pixels(first)), node
