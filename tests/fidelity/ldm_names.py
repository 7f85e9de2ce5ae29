"""Names of tensors in single-file checkpoints, from the names that diffusers gives them.

The loader under test goes the other way, with diffusers' own converters; this is written from
the layout itself, so that a mistake in either does not cancel out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
TOP = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out": "proj_out",
}


def unet_name(name: str, config: Mapping[str, Any]) -> str:
    """Return a UNet tensor's name in the file, without prefix."""
    module, _, leaf = name.rpartition(".")
    if module in TOP:
        return f"{TOP[module]}.{leaf}"
    side, number, *rest = name.split(".")
    if side == "mid_block":
        return _middle(number, rest)
    return _side(side, int(number), rest, config)


def vae_name(name: str, levels: int) -> str:
    """Return a VAE tensor's name in the file, without prefix."""
    side, *rest = name.split(".")
    if side in ("quant_conv", "post_quant_conv") or rest[0] in ("conv_in", "conv_out"):
        return name
    if rest[0] == "conv_norm_out":
        return f"{side}.norm_out.{rest[1]}"
    if rest[0] == "mid_block":
        return f"{side}.mid.{_vae_middle(rest[1:])}"
    way = "down" if rest[0] == "down_blocks" else "up"
    level = int(rest[1]) if way == "down" else levels - 1 - int(rest[1])
    if rest[2] == "resnets":
        return f"{side}.{way}.{level}.block.{rest[3]}.{_vae_resnet(rest[4:])}"
    return f"{side}.{way}.{level}.{way}sample.{'.'.join(rest[4:])}"


def vae_tensor(name: str, tensor: Tensor) -> Tensor:
    """Return a VAE tensor as the file holds it: attention as convolutions of one pixel."""
    flat = ".attentions." in name and name.endswith("weight") and tensor.ndim == 2
    return tensor[:, :, None, None] if flat else tensor


def text_name(name: str) -> str:
    """Return a text encoder tensor's name in the file, without prefix."""
    return name if name.startswith("text_model.") else f"text_model.{name}"


def _middle(kind: str, rest: list[str]) -> str:
    if kind == "attentions":
        return "middle_block.1." + ".".join(rest[1:])
    return f"middle_block.{int(rest[0]) * 2}.{_resnet(rest[1:])}"


def _side(side: str, block: int, rest: list[str], config: Mapping[str, Any]) -> str:
    kind, number, *leaf = rest
    per_block = config["layers_per_block"] + 1
    first = block * per_block + (1 if side == "down_blocks" else 0)
    stem = "input_blocks" if side == "down_blocks" else "output_blocks"
    at = first + int(number)
    if kind == "resnets":
        return f"{stem}.{at}.0.{_resnet(leaf)}"
    if kind == "attentions":
        return f"{stem}.{at}.1." + ".".join(leaf)
    last = first + per_block - 1
    if side == "down_blocks":
        return f"{stem}.{last}.0.op.{leaf[-1]}"
    attends = "Cross" in config["up_block_types"][block]
    return f"{stem}.{last}.{2 if attends else 1}.conv.{leaf[-1]}"


def _resnet(leaf: list[str]) -> str:
    return ".".join([RESNET[leaf[0]], *leaf[1:]])


def _vae_middle(rest: list[str]) -> str:
    if rest[0] == "resnets":
        return f"block_{int(rest[1]) + 1}.{_vae_resnet(rest[2:])}"
    return f"attn_1.{VAE_ATTENTION[rest[2]]}.{rest[-1]}"


def _vae_resnet(leaf: list[str]) -> str:
    return ".".join(leaf).replace("conv_shortcut", "nin_shortcut")
