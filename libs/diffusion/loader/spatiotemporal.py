"""The networks of Stable Video Diffusion under the names that single files give their tensors.

Both are those of Stable Diffusion with blocks over time beside those over the picture; a file
calls the former `time_stack`. Names that diffusers gives are taken as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import torch
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from torch import Tensor

from libs.diffusion.loader.build import build

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

CHANNELS_PER_HEAD: Final = 64
TIME_IDS: Final = 3
MIXES_TIME: Final = re.compile(
    r"(input_blocks\.1|down_blocks\.0\.resnets)\..*time_mixer\.mix_factor"
)
# Every temporal VAE has one of them, and none of another kind.
VAE_MARKS: Final = (
    "decoder.mid.block_1.mix_factor",
    "decoder.mid_block.resnets.0.time_mixer.mix_factor",
)
QUANT: Final = "quant_conv"

TOP: Final = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
SIDES: Final = {"input_blocks": "down", "output_blocks": "up"}
RESIDUAL: Final = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
TRANSFORMER: Final = {
    "time_stack.": "temporal_transformer_blocks.",
    "time_pos_embed.0.": "time_pos_embed.linear_1.",
    "time_pos_embed.2.": "time_pos_embed.linear_2.",
}
VAE_ATTENTION: Final = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}
VAE_TOP: Final = {
    "norm_out": "conv_norm_out",
    "conv_in": "conv_in",
    "conv_out": "conv_out",
    "conv_out.time_mix_conv": "time_conv_out",
}


def is_spatiotemporal(shapes: Shapes) -> bool:
    """Say whether a UNet is one over pictures and time."""
    return any(MIXES_TIME.match(name) for name in shapes)


def is_vae(shapes: Shapes) -> bool:
    """Say whether a VAE decodes frames that know each other."""
    return any(mark in shapes for mark in VAE_MARKS)


def unet_names(shapes: Shapes) -> dict[str, str]:
    """Return what diffusers calls each tensor of the UNet."""
    if "conv_in.weight" in shapes:
        return {name: name for name in shapes}
    per_level = 1
    while f"input_blocks.{per_level}.0.op.weight" not in shapes and _block(shapes, per_level):
        per_level += 1
    return {name: _unet_name(name, per_level) for name in shapes}


def unet_config(shapes: Shapes) -> dict[str, Any]:
    """Return what diffusers builds the UNet from, by the shapes under its names."""
    widths, attends, depths = [], [], []
    level = 0
    while (first := f"down_blocks.{level}.resnets.0.spatial_res_block.conv1.weight") in shapes:
        widths.append(shapes[first][0])
        depths.append(_count(shapes, f"down_blocks.{level}.attentions.0.transformer_blocks."))
        attends.append(depths[-1] > 0)
        level += 1
    middle = _count(shapes, "mid_block.attentions.0.transformer_blocks.")
    added = shapes["add_embedding.linear_1.weight"][1]
    return {
        "in_channels": shapes["conv_in.weight"][1],
        "out_channels": shapes["conv_out.weight"][0],
        "block_out_channels": tuple(widths),
        "layers_per_block": _count(shapes, "down_blocks.0.resnets."),
        "transformer_layers_per_block": tuple(depth or middle for depth in depths),
        "num_attention_heads": tuple(max(1, width // CHANNELS_PER_HEAD) for width in widths),
        "cross_attention_dim": shapes[
            "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
        ][1],
        "addition_time_embed_dim": added // TIME_IDS,
        "projection_class_embeddings_input_dim": added,
        "down_block_types": tuple(_block_type("Down", one) for one in attends),
        "up_block_types": tuple(_block_type("Up", one) for one in reversed(attends)),
    }


def build_unet(tensors: Mapping[str, Tensor]) -> UNetSpatioTemporalConditionModel:
    """Build the UNet from its tensors, without prefix."""
    names = unet_names({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    named = {names[name]: tensor for name, tensor in tensors.items()}
    config = unet_config({name: tuple(tensor.shape) for name, tensor in named.items()})
    return build(lambda: UNetSpatioTemporalConditionModel(**config), named)


def build_vae(tensors: Mapping[str, Tensor]) -> AutoencoderKLTemporalDecoder:
    """Build the VAE from its tensors, without prefix."""
    names = vae_names(tensors)
    named = {}
    for name, tensor in tensors.items():
        renamed = names[name]
        # Files hold the attention of a VAE as convolutions over single pixels.
        flat = ".attentions." in renamed and tensor.ndim == 4
        named[renamed] = tensor[:, :, 0, 0] if flat else tensor
    config = _vae_config({name: tuple(tensor.shape) for name, tensor in named.items()})
    if f"{QUANT}.weight" not in named:
        named |= _no_quant(named["encoder.conv_out.weight"])
    return build(lambda: AutoencoderKLTemporalDecoder(**config), named)


def vae_names(names: Iterable[str]) -> dict[str, str]:
    """Return what diffusers calls each tensor of the VAE."""
    all_names = frozenset(names)
    if VAE_MARKS[1] in all_names:
        return {name: name for name in all_names}
    levels = len({name.split(".")[2] for name in all_names if name.startswith("decoder.up.")})
    return {name: _vae_name(name, levels) for name in all_names}


def _vae_name(name: str, levels: int) -> str:
    side, *rest = name.split(".")
    if side == QUANT:
        return name
    inside, leaf = ".".join(rest[:-1]), rest[-1]
    if inside in VAE_TOP:
        return f"{side}.{VAE_TOP[inside]}.{leaf}"
    if rest[0] == "mid":
        return f"{side}.mid_block.{_vae_middle(rest[1:], over_time=side == 'decoder')}"
    way, level = rest[0], int(rest[1])
    stem = f"{side}.{way}_blocks.{levels - 1 - level if way == 'up' else level}"
    if rest[2] == "block":
        return f"{stem}.resnets.{rest[3]}.{_vae_residual(rest[4:], over_time=side == 'decoder')}"
    return f"{stem}.{way}samplers.0.{'.'.join(rest[3:])}"


def _unet_name(name: str, per_level: int) -> str:
    module, _, leaf = name.rpartition(".")
    if module in TOP:
        return f"{TOP[module]}.{leaf}"
    side, number, *rest = name.split(".")
    if side == "middle_block":
        kind = "attentions" if number == "1" else "resnets"
        return f"mid_block.{kind}.{int(number) // 2}.{_inner(kind, rest)}"
    if side in SIDES:
        return _side_name(SIDES[side], int(number), rest, per_level)
    return name


def _side_name(side: str, number: int, rest: list[str], per_level: int) -> str:
    # The first block of the way down is the convolution before all levels.
    level, at = divmod(number - 1 if side == "down" else number, per_level)
    if rest[1] in ("op", "conv"):
        return f"{side}_blocks.{level}.{side}samplers.0.conv.{rest[-1]}"
    kind = "resnets" if rest[0] == "0" else "attentions"
    return f"{side}_blocks.{level}.{kind}.{at}.{_inner(kind, rest[1:])}"


def _inner(kind: str, rest: list[str]) -> str:
    inside = ".".join(rest)
    if kind == "attentions":
        for theirs, ours in TRANSFORMER.items():
            if inside.startswith(theirs):
                return ours + inside.removeprefix(theirs)
        return inside
    return _residual(rest)


def _residual(rest: list[str]) -> str:
    if rest[0] == "time_mixer":
        return ".".join(rest)
    block = "temporal_res_block" if rest[0] == "time_stack" else "spatial_res_block"
    inside = rest[1:] if rest[0] == "time_stack" else rest
    module, leaf = ".".join(inside[:-1]), inside[-1]
    return f"{block}.{RESIDUAL.get(module, module)}.{leaf}"


def _vae_middle(rest: list[str], *, over_time: bool) -> str:
    if rest[0] == "attn_1":
        return f"attentions.0.{VAE_ATTENTION[rest[1]]}.{rest[2]}"
    at = int(rest[0].removeprefix("block_")) - 1
    return f"resnets.{at}.{_vae_residual(rest[1:], over_time=over_time)}"


def _vae_residual(rest: list[str], *, over_time: bool) -> str:
    if rest[0] == "mix_factor":
        return "time_mixer.mix_factor"
    if rest[0] == "time_stack":
        return _residual(rest)
    inside = ".".join(rest).replace("nin_shortcut", "conv_shortcut")
    return f"spatial_res_block.{inside}" if over_time else inside


def _block(shapes: Shapes, at: int) -> bool:
    return f"input_blocks.{at}.0.in_layers.0.weight" in shapes


def _count(shapes: Shapes, stem: str) -> int:
    return len({name[len(stem) :].split(".")[0] for name in shapes if name.startswith(stem)})


def _block_type(side: str, attends: bool) -> str:
    return f"CrossAttn{side}BlockSpatioTemporal" if attends else f"{side}BlockSpatioTemporal"


def _vae_config(shapes: Shapes) -> dict[str, Any]:
    widths: list[int] = []
    while (first := f"encoder.down_blocks.{len(widths)}.resnets.0.conv1.weight") in shapes:
        widths.append(shapes[first][0])
    return {
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "block_out_channels": tuple(widths),
        "layers_per_block": _count(shapes, "encoder.down_blocks.0.resnets."),
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
    }


def _no_quant(last: Tensor) -> dict[str, Tensor]:
    """Return a convolution that changes nothing: single files have it in the one before."""
    channels = last.shape[0]
    return {
        f"{QUANT}.weight": torch.eye(channels, dtype=last.dtype)[:, :, None, None],
        f"{QUANT}.bias": torch.zeros(channels, dtype=last.dtype),
    }
