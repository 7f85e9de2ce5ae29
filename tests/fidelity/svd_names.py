"""Names of tensors in Stable Video Diffusion's single file, from those that diffusers gives.

Written from the layout itself, as `ldm_names` is: the loader goes the other way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.fidelity.ldm_names import RESNET, TOP, unet_name, vae_name


def svd_unet_name(name: str, config: Mapping[str, Any]) -> str:
    """Return a UNet tensor's name in the file, without prefix."""
    if name.rpartition(".")[0] in TOP or "samplers" in name:
        return unet_name(name, _spatial(config))
    stem, inner = _split(name)
    place = unet_name(
        f"{stem}.norm1.weight" if "resnets" in stem else f"{stem}.w", _spatial(config)
    )
    place = place.removesuffix(".in_layers.0.weight").removesuffix(".w")
    if "attentions" in stem:
        return f"{place}.{_attention(inner)}"
    return f"{place}.{_residual(inner)}"


def svd_vae_name(name: str, levels: int) -> str:
    """Return a VAE tensor's name in the file, without prefix."""
    if name.startswith("decoder.time_conv_out."):
        return name.replace("time_conv_out", "conv_out.time_mix_conv")
    if ".time_mixer." in name:
        return _vae_place(name, levels) + ".mix_factor"
    if ".temporal_res_block." in name:
        return f"{_vae_place(name, levels)}.{_residual(name[name.index('temporal_res_block') :])}"
    return vae_name(name.replace("spatial_res_block.", ""), levels)


def _spatial(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**config, "up_block_types": config["up_block_types"]}


def _split(name: str) -> tuple[str, str]:
    """Split behind the number of the resnet or attention."""
    parts = name.split(".")
    end = 3 if parts[0] == "mid_block" else 4
    return ".".join(parts[:end]), ".".join(parts[end:])


def _attention(inner: str) -> str:
    inner = inner.replace("temporal_transformer_blocks.", "time_stack.")
    return inner.replace("time_pos_embed.linear_1", "time_pos_embed.0").replace(
        "time_pos_embed.linear_2", "time_pos_embed.2"
    )


def _residual(inner: str) -> str:
    block, *rest = inner.split(".")
    if block == "time_mixer":
        return inner
    stack = "time_stack." if block == "temporal_res_block" else ""
    return f"{stack}{RESNET[rest[0]]}.{rest[1]}"


def _vae_place(name: str, levels: int) -> str:
    stem = name[: name.index(".time_mixer" if ".time_mixer" in name else ".temporal_res_block")]
    return vae_name(f"{stem}.norm1.weight", levels).removesuffix(".norm1.weight")
