"""The shape of a VAE, read off the names and sizes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffusers import AutoencoderKL
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from torch import Tensor

from libs.diffusion.loader.build import build
from libs.diffusion.loader.unet import norm_groups

# Where checkpoints keep a VAE; a file that holds one alone has no prefix.
PREFIXES = ("first_stage_model.", "vae.", "")
# Every VAE of single files has it, and none of diffusers' layout.
MARK = "encoder.down.0.block.0.conv2.weight"
# The other way round.
DIFFUSERS_MARK = "encoder.down_blocks.0.resnets.0.conv1.weight"

Shapes = Mapping[str, tuple[int, ...]]


def prefix_in(shapes: Shapes) -> str | None:
    """Return what stands before the names of a VAE, None if there is no VAE."""
    for prefix in PREFIXES:
        if f"{prefix}{MARK}" in shapes or f"{prefix}{DIFFUSERS_MARK}" in shapes:
            return prefix
    return None


def diffusers_config(shapes: Shapes) -> dict[str, Any]:
    """Return what diffusers builds a VAE from whose tensors it named itself."""
    widths: list[int] = []
    while (name := f"encoder.down_blocks.{len(widths)}.resnets.0.conv1.weight") in shapes:
        widths.append(shapes[name][0])
    blocks = 0
    while f"encoder.down_blocks.0.resnets.{blocks}.conv1.weight" in shapes:
        blocks += 1
    return _config(shapes, widths, blocks)


def vae_config(shapes: Shapes) -> dict[str, Any]:
    """Return what diffusers builds this VAE from."""
    widths: list[int] = []
    while (name := f"encoder.down.{len(widths)}.block.0.conv2.weight") in shapes:
        widths.append(shapes[name][0])
    blocks = 0
    while f"encoder.down.0.block.{blocks}.conv2.weight" in shapes:
        blocks += 1
    return _config(shapes, widths, blocks)


def _config(shapes: Shapes, widths: list[int], blocks: int) -> dict[str, Any]:
    return {
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "block_out_channels": tuple(widths),
        "layers_per_block": blocks,
        "norm_num_groups": norm_groups(tuple(widths)),
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "up_block_types": ("UpDecoderBlock2D",) * len(widths),
    }


def build_vae(tensors: dict[str, Tensor]) -> AutoencoderKL:
    """Build the VAE from tensors under their names in the checkpoint, without prefix."""
    config = vae_config({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    known = {
        name: tensor
        for name, tensor in tensors.items()
        if name.startswith(("encoder.", "decoder.", "quant_conv.", "post_quant_conv."))
    }
    return build(lambda: AutoencoderKL(**config), convert_ldm_vae_checkpoint(known, config))
