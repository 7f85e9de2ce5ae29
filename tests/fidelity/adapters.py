"""The adapters that the reference pictures were made with: two LoRAs and a ControlNet.

They are random, seeded, and scaled by the weights of the checkpoint that they belong to. The order
of every draw matters: another order makes other files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from tests.fidelity.checkpoint import UNET
from tests.fidelity.ldm_names import unet_name

PREFIX = "model.diffusion_model."
LOUDNESS = 0.4
LINEAR = re.compile(
    r"attn[12]\.to_(q|k|v|out\.0)$|ff\.net\.(0\.proj|2)$|proj_in$|proj_out$",
)
CONVOLUTION = re.compile(r"resnets\.\d+\.conv[12]$")
TEXT = re.compile(
    r"cond_stage_model\.transformer\.(text_model\.encoder\.layers\.\d+\."
    r"(self_attn\.(q|k|v|out)_proj|mlp\.fc[12]))\.weight$"
)
HINT_WIDTHS = (3, 16, 16, 32, 32, 96, 96, 256, 320)

Tensors = dict[str, Tensor]


def make_adapters(checkpoint: Path, folder: Path) -> None:
    """Write `loras/fid_a`, `loras/fid_b` and `controlnet/fid_cn` under a folder."""
    with safe_open(checkpoint, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, made in (
        ("loras/fid_a", _lora(tensors, rank=4, alpha=4, seed=11, convolutions=False)),
        ("loras/fid_b", _lora(tensors, rank=8, alpha=4, seed=12, convolutions=True)),
        ("controlnet/fid_cn", _controlnet(tensors, seed=13)),
    ):
        path = folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: tensor.contiguous() for key, tensor in made.items()}, path)


def _lora(tensors: Tensors, *, rank: int, alpha: int, seed: int, convolutions: bool) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    made: Tensors = {}
    for module, weight in _unet_modules(tensors):
        if LINEAR.search(module) or (convolutions and CONVOLUTION.search(module)):
            stem = "lora_unet_" + module.replace(".", "_")
            made |= _pair(stem, weight, rank, alpha, generator)
    for name, tensor in tensors.items():
        if match := TEXT.match(name):
            stem = "lora_te_" + match[1].replace(".", "_")
            made |= _pair(stem, tensor.float(), rank, alpha, generator)
    return made


def _unet_modules(tensors: Tensors) -> Iterator[tuple[str, Tensor]]:
    with torch.device("meta"):
        names = UNet2DConditionModel(**UNET).state_dict()
    for name in names:
        if name.endswith(".weight"):
            yield name.removesuffix(".weight"), tensors[PREFIX + unet_name(name, UNET)].float()


def _pair(
    stem: str, weight: Tensor, rank: int, alpha: int, generator: torch.Generator
) -> Mapping[str, Tensor]:
    outputs, inputs, *kernel = weight.shape
    taps = kernel[0] * kernel[1] if kernel else 1
    down = torch.randn(rank, inputs, *kernel, generator=generator) / (inputs * taps) ** 0.5
    up = torch.randn(outputs, rank, *(1 for _ in kernel), generator=generator)
    up = up * LOUDNESS * weight.std() * (inputs**0.5) / rank**0.5
    return {
        f"{stem}.lora_down.weight": down.half(),
        f"{stem}.lora_up.weight": up.half(),
        f"{stem}.alpha": torch.tensor(float(alpha)).half(),
    }


def _controlnet(tensors: Tensors, *, seed: int) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    encoder = re.compile(re.escape(PREFIX) + r"(time_embed|input_blocks|middle_block)\.")
    made = {
        f"control_model.{name.removeprefix(PREFIX)}": tensor
        for name, tensor in tensors.items()
        if encoder.match(name)
    }
    widths = list(_widths(tensors))
    places = [f"zero_convs.{number}" for number in range(len(widths))] + ["middle_block_out"]
    for place, width in zip(places, [*widths, widths[-1]], strict=True):
        weight = torch.randn(width, width, 1, 1, generator=generator) * 0.5 / width**0.5
        made[f"control_model.{place}.0.weight"] = weight.half()
        made[f"control_model.{place}.0.bias"] = torch.zeros(width).half()
    return made | _hint_layers(HINT_WIDTHS, generator)


def _widths(tensors: Tensors) -> Iterator[int]:
    """Return the width behind each block of the encoder."""
    number = 0
    while True:
        block = f"{PREFIX}input_blocks.{number}.0."
        found = [
            tensors.get(block + leaf) for leaf in ("weight", "out_layers.3.weight", "op.weight")
        ]
        last = next((tensor for tensor in found if tensor is not None), None)
        if last is None:
            return
        yield last.shape[0]
        number += 1


def _hint_layers(widths: Sequence[int], generator: torch.Generator) -> Tensors:
    made = {}
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        stem = f"control_model.input_hint_block.{2 * number}"
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
        made[f"{stem}.weight"] = (weight * (2 / (inputs * 9)) ** 0.5).half()
        made[f"{stem}.bias"] = torch.zeros(outputs).half()
    return made
