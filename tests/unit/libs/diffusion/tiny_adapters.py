"""Small adapters of all kinds under the names that the workflows of the docs have for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import SiglipVisionConfig, SiglipVisionModel

from tests.unit.libs.diffusion import tiny
from tests.unit.libs.diffusion.test_diffusion_control import network
from tests.unit.libs.diffusion.test_diffusion_ip_adapter import plus, vision

WORKFLOWS = Path(__file__).parents[4] / "libs/nodes/examples/techniques"
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


def siglip() -> SiglipVisionModel:
    """Return a small SigLIP, with the part that sums up, which files have and nobody needs."""
    torch.manual_seed(12)
    config = SiglipVisionConfig(
        hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=16,
        image_size=42, patch_size=14, layer_norm_eps=1e-5,
    )  # fmt: skip
    return SiglipVisionModel(config).eval()


def siglip_tensors() -> dict[str, torch.Tensor]:
    """Return it as the published file has it."""
    return {f"vision_model.{name}": tensor for name, tensor in siglip().state_dict().items()}


def redux(text) -> dict[str, torch.Tensor]:
    torch.manual_seed(13)
    return {
        "redux_up.weight": torch.randn(24, 48) / 5,
        "redux_up.bias": torch.randn(24) / 5,
        "redux_down.weight": torch.randn(text, 24) / 3,
        "redux_down.bias": torch.randn(text) / 5,
    }


def photo(seed) -> Image.Image:
    rows, columns = np.mgrid[0:64, 0:64]
    waves = [127 + 90 * np.sin(rows / (5 + seed)), 2 * columns, 100 + 80 * np.cos(columns / 7)]
    alpha = np.full((64, 64), 255)
    alpha[16:48, 16:48] = 0
    return Image.fromarray(np.dstack([*waves, alpha]).astype(np.uint8))


def write_weights(models: Path) -> None:
    """Write every file that the workflows name, but for the upscaler."""
    for name, tensors in (
        ("checkpoints/v1-5-pruned-emaonly-fp16", tiny.sd1()),
        ("loras/pixel_art_v2", lora(1)),
        ("loras/soft_light", lora(2)),
        ("controlnet/control_v11p_sd15_canny_fp16", network(tiny.SD1_UNET).state_dict()),
        ("ipadapter/ip-adapter-plus_sd15", plus()),
        ("clip_vision/CLIP-ViT-H-14-laion2B-s32B-b79K", vision().state_dict()),
    ):
        tiny.written(models / f"{name}.safetensors", tensors)


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
