"""Names of tensors in Stable Diffusion's single-file layout, from the names diffusers gives them."""

from collections.abc import Mapping
from typing import Final

import torch

from training.networks import VAE_CHANNELS

UNET: Final = "model.diffusion_model."
VAE: Final = "first_stage_model."
TEXT: Final = "cond_stage_model.transformer."

RESIDUAL: Final = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS: Final = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION: Final = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
LAYERS: Final = 1


def unet_name(name: str) -> str:
    """Return the name of a denoiser tensor."""
    for ours, theirs in ENDS.items():
        if name.startswith(ours + "."):
            return theirs + name[len(ours) :]
    parts = name.split(".")
    if parts[0] == "mid_block":
        inner = ".".join(parts[3:])
        if parts[1] == "attentions":
            return f"middle_block.1.{inner}"
        return f"middle_block.{2 * int(parts[2])}.{_residual(inner)}"
    level, kind, index, inner = int(parts[1]), parts[2], int(parts[3]), ".".join(parts[4:])
    if parts[0] == "down_blocks":
        return _down_name(level, kind, index, inner)
    return _up_name(level, kind, index, inner)


def _down_name(level: int, kind: str, index: int, inner: str) -> str:
    block = level * (LAYERS + 1) + 1
    if kind == "resnets":
        return f"input_blocks.{block + index}.0.{_residual(inner)}"
    if kind == "attentions":
        return f"input_blocks.{block + index}.1.{inner}"
    return f"input_blocks.{block + LAYERS}.0.op.{inner.removeprefix('conv.')}"


def _up_name(level: int, kind: str, index: int, inner: str) -> str:
    block = level * (LAYERS + 1)
    if kind == "resnets":
        return f"output_blocks.{block + index}.0.{_residual(inner)}"
    if kind == "attentions":
        return f"output_blocks.{block + index}.1.{inner}"
    return f"output_blocks.{block + LAYERS}.2.{inner}"


def vae_name(name: str) -> str:
    """Return the name of a codec tensor."""
    parts = name.split(".")
    if parts[0] in ("quant_conv", "post_quant_conv") or parts[1] in ("conv_in", "conv_out"):
        return name
    side = parts[0]
    if parts[1] == "conv_norm_out":
        return f"{side}.norm_out.{parts[2]}"
    if parts[1] == "mid_block":
        inner = ".".join(parts[4:])
        if parts[2] == "resnets":
            return f"{side}.mid.block_{int(parts[3]) + 1}.{_vae_residual(inner)}"
        layer, _, tail = inner.rpartition(".")
        return f"{side}.mid.attn_1.{VAE_ATTENTION[layer]}.{tail}"
    level, inner = int(parts[2]), ".".join(parts[5:])
    way = parts[1].removesuffix("_blocks")
    level = level if way == "down" else len(VAE_CHANNELS) - 1 - level
    if parts[3] == "resnets":
        return f"{side}.{way}.{level}.block.{parts[4]}.{_vae_residual(inner)}"
    return f"{side}.{way}.{level}.{way}sample.{inner}"


def single_file(
    unet: Mapping[str, torch.Tensor],
    vae: Mapping[str, torch.Tensor],
    text: Mapping[str, torch.Tensor],
) -> dict[str, torch.Tensor]:
    """Put the three networks under the names of one file."""
    tensors = {UNET + unet_name(name): value for name, value in unet.items()}
    for name, value in vae.items():
        renamed = vae_name(name)
        if ".attn_1." in renamed and value.ndim == 2:
            tensors[VAE + renamed] = value[:, :, None, None]
        else:
            tensors[VAE + renamed] = value
    for name, value in text.items():
        tensors[TEXT + "text_model." + name.removeprefix("text_model.")] = value
    return tensors


def _residual(inner: str) -> str:
    head, _, tail = inner.partition(".")
    return f"{RESIDUAL[head]}.{tail}"


def _vae_residual(inner: str) -> str:
    return inner.replace("conv_shortcut", "nin_shortcut")
