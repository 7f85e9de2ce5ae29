"""CogVideoX's VAE, under the names of its own releases and under those of diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from diffusers import AutoencoderKLCogVideoX
from torch import Tensor

from libs.diffusion.loader.build import build
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.loader.shelf import Shelf
from libs.diffusion.loader.unet import norm_groups

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

PREFIXES: Final = ("vae.", "first_stage_model.", "")
# Every VAE of this kind has one of them, and no other VAE has any.
MARKS: Final = (
    "decoder.mid.block_1.norm1.conv_y.conv.weight",
    "decoder.mid_block.resnets.0.norm1.conv_y.conv.weight",
)
LEVELS: Final = 4


def place_in(shapes: Shapes) -> str | None:
    """Return what stands before the names of such a VAE, None if there is none."""
    for prefix in PREFIXES:
        if any(f"{prefix}{mark}" in shapes for mark in MARKS):
            return prefix
    return None


def build_vae(file: WeightsFile, prefix: str, shelf: Shelf) -> AutoencoderKLCogVideoX:
    """Build the VAE of a file or a folder."""
    tensors = file.read_under(prefix, shelf.placement.vae)
    named = vae_from_release(tensors) if MARKS[0] in tensors else tensors
    config = vae_config({name: tuple(tensor.shape) for name, tensor in named.items()})
    return build(lambda: AutoencoderKLCogVideoX(**config), named)


def vae_from_release(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a release's tensors as diffusers names them; what trained it is left out."""
    return {
        vae_name(name): tensor
        for name, tensor in tensors.items()
        if name.startswith(("encoder.", "decoder."))
    }


def vae_name(name: str) -> str:
    """Return what diffusers calls a tensor of the VAE."""
    side, *rest = name.split(".")
    if rest[0] == "mid":
        at = int(rest[1].removeprefix("block_")) - 1
        return f"{side}.mid_block.resnets.{at}.{'.'.join(rest[2:])}"
    if rest[0] not in ("down", "up"):
        return name
    way, level = rest[0], int(rest[1])
    stem = f"{side}.{way}_blocks.{LEVELS - 1 - level if way == 'up' else level}"
    if rest[2] == "block":
        inside = ".".join(rest[4:]).replace("nin_shortcut", "conv_shortcut")
        return f"{stem}.resnets.{rest[3]}.{inside}"
    return f"{stem}.{way}samplers.0.{'.'.join(rest[3:])}"


def vae_config(shapes: Shapes) -> dict[str, Any]:
    """Return what diffusers builds the VAE from, by the shapes under its names."""
    widths: list[int] = []
    while (name := f"encoder.down_blocks.{len(widths)}.resnets.0.conv1.conv.weight") in shapes:
        widths.append(shapes[name][0])
    first = "encoder.down_blocks.0.resnets."
    layers = {name.split(".")[4] for name in shapes if name.startswith(first)}
    return {
        "in_channels": shapes["encoder.conv_in.conv.weight"][1],
        "out_channels": shapes["decoder.conv_out.conv.weight"][0],
        "latent_channels": shapes["decoder.conv_in.conv.weight"][1],
        "block_out_channels": tuple(widths),
        "layers_per_block": len(layers),
        "norm_num_groups": norm_groups(tuple(widths)),
        "down_block_types": ("CogVideoXDownBlock3D",) * len(widths),
        "up_block_types": ("CogVideoXUpBlock3D",) * len(widths),
    }
