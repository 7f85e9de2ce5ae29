"""The shape of a VAE, read off the names and sizes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffusers import AutoencoderKL
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from torch import Tensor

from libs.diffusion.loader.build import build
from libs.diffusion.loader.unet import norm_groups

PREFIX = "first_stage_model."
# In a checkpoint, and in a folder with a part for each network.
PREFIXES = (PREFIX, "vae.")
# Every VAE of this layout has it, and none of any other.
MARK = "encoder.down.0.block.0.conv2.weight"

Shapes = Mapping[str, tuple[int, ...]]


def prefix_in(shapes: Shapes) -> str:
    """Return what the names of a file's VAE start with; a file that holds it alone has nothing."""
    found = (one for one in PREFIXES if any(name.startswith(one) for name in shapes))
    return next(found, "")


def vae_config(shapes: Shapes) -> dict[str, Any]:
    """Return what diffusers builds this VAE from."""
    widths: list[int] = []
    while (name := f"encoder.down.{len(widths)}.block.0.conv2.weight") in shapes:
        widths.append(shapes[name][0])
    blocks = 0
    while f"encoder.down.0.block.{blocks}.conv2.weight" in shapes:
        blocks += 1
    return {
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "latent_channels": shapes["post_quant_conv.weight"][0],
        "block_out_channels": tuple(widths),
        "layers_per_block": blocks,
        "norm_num_groups": norm_groups(tuple(widths)),
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
