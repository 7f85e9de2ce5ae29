"""CogVideoX's tensors as its own releases write them, from those that diffusers has.

Written from the layout of the releases, as `ldm_names` is: the loader goes the other way.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "ofs_embedding.linear_1": "ofs_embed.0",
    "ofs_embedding.linear_2": "ofs_embed.2",
    "patch_embed.proj": "mixins.patch_embed.proj",
    "patch_embed.text_proj": "mixins.patch_embed.text_proj",
    "norm_final": "transformer.final_layernorm",
    "norm_out.norm": "mixins.final_layer.norm_final",
    "norm_out.linear": "mixins.final_layer.adaLN_modulation.1",
    "proj_out": "mixins.final_layer.linear",
}
LAYER = {
    "norm1.norm": "input_layernorm",
    "norm2.norm": "post_attention_layernorm",
    "attn1.to_out.0": "attention.dense",
    "ff.net.0.proj": "mlp.dense_h_to_4h",
    "ff.net.2": "mlp.dense_4h_to_h",
}


def release_transformer(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the transformer's tensors, with joined attention and shifts, and its own tables."""
    out = {}
    layers = {name.split(".")[1] for name in state if name.startswith("transformer_blocks.")}
    for module, theirs in TOP.items():
        for leaf in ("weight", "bias"):
            if f"{module}.{leaf}" in state:
                out[f"{theirs}.{leaf}"] = state[f"{module}.{leaf}"]
    for number in layers:
        old, new = f"transformer_blocks.{number}.", f"transformer.layers.{number}."
        for leaf in ("weight", "bias"):
            for module, theirs in LAYER.items():
                out[f"{new}{theirs}.{leaf}"] = state[f"{old}{module}.{leaf}"]
            parts = [state[f"{old}attn1.to_{part}.{leaf}"] for part in "qkv"]
            out[f"{new}attention.query_key_value.{leaf}"] = torch.cat(parts)
            for short, long in (("q", "query"), ("k", "key")):
                name = f"mixins.adaln_layer.{long}_layernorm_list.{number}.{leaf}"
                out[name] = state[f"{old}attn1.norm_{short}.{leaf}"]
            first, second = (state[f"{old}norm{at}.linear.{leaf}"].chunk(6) for at in (1, 2))
            shifts = [*first[:3], *second[:3], *first[3:], *second[3:]]
            name = f"mixins.adaln_layer.adaLN_modulations.{number}.1.{leaf}"
            out[name] = torch.cat(shifts)
    if "patch_embed.pos_embedding" in state:
        out["mixins.pos_embed.pos_embedding"] = state["patch_embed.pos_embedding"]
    out["mixins.pos_embed.freqs_sin"] = torch.zeros(2, 2)
    return out


def release_vae_name(name: str) -> str:
    """Return what the releases call a tensor of the VAE."""
    side, kind, *rest = name.split(".")
    if kind == "mid_block":
        return f"{side}.mid.block_{int(rest[1]) + 1}.{'.'.join(rest[2:])}"
    if kind not in ("down_blocks", "up_blocks"):
        return name
    way = kind.removesuffix("_blocks")
    level = int(rest[0]) if way == "down" else 3 - int(rest[0])
    if rest[1] == "resnets":
        inside = ".".join(rest[3:]).replace("conv_shortcut", "nin_shortcut")
        return f"{side}.{way}.{level}.block.{rest[2]}.{inside}"
    return f"{side}.{way}.{level}.{way}sample.{'.'.join(rest[3:])}"
