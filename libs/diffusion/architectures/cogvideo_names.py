"""CogVideoX's transformer under the names of its own releases, and under those of diffusers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

MARK: Final = "mixins.patch_embed.proj.weight"
DIFFUSERS_MARK: Final = "patch_embed.text_proj.weight"
POSITIONS: Final = "patch_embed.pos_embedding"
# In the one release whose places are learned, 5B I2V; other tables of places are worked out.
RELEASED_POSITIONS: Final = "mixins.pos_embed.pos_embedding"
PATCH: Final = 2
# The 2B model knows places by sines added to its tokens; larger ones turn them by angles.
WIDTH_OF_2B: Final = 1920

TOP: Final = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "ofs_embed.0": "ofs_embedding.linear_1",
    "ofs_embed.2": "ofs_embedding.linear_2",
    "mixins.patch_embed.proj": "patch_embed.proj",
    "mixins.patch_embed.text_proj": "patch_embed.text_proj",
    "transformer.final_layernorm": "norm_final",
    "mixins.final_layer.norm_final": "norm_out.norm",
    "mixins.final_layer.linear": "proj_out",
    "mixins.final_layer.adaLN_modulation.1": "norm_out.linear",
}
LAYER: Final = re.compile(r"transformer\.layers\.(\d+)\.(.+)\.(weight|bias)")
IN_LAYER: Final = {
    "input_layernorm": "norm1.norm",
    "post_attention_layernorm": "norm2.norm",
    "attention.dense": "attn1.to_out.0",
    "mlp.dense_h_to_4h": "ff.net.0.proj",
    "mlp.dense_4h_to_h": "ff.net.2",
}
JOINED: Final = "attention.query_key_value"
NORM: Final = re.compile(r"mixins\.adaln_layer\.(query|key)_layernorm_list\.(\d+)\.(weight|bias)")
SHIFTS: Final = re.compile(r"mixins\.adaln_layer\.adaLN_modulations\.(\d+)\.1\.(weight|bias)")
# Shift, scale and gate for pictures before attention and after, then the same for text.
SHIFT_PARTS: Final = 12
BEFORE_ATTENTION: Final = (0, 1, 2, 6, 7, 8)
AFTER_ATTENTION: Final = (3, 4, 5, 9, 10, 11)


def transformer_from_release(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a release's tensors as diffusers names and cuts them; its tables are left out."""
    named: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        named |= _renamed(name, tensor)
    return named


def _renamed(name: str, tensor: Tensor) -> dict[str, Tensor]:
    module, _, leaf = name.rpartition(".")
    if module in TOP or name == RELEASED_POSITIONS:
        return {f"{TOP[module]}.{leaf}" if module in TOP else POSITIONS: tensor}
    if (norm := NORM.fullmatch(name)) is not None:
        return {f"transformer_blocks.{norm[2]}.attn1.norm_{norm[1][0]}.{norm[3]}": tensor}
    if (shifts := SHIFTS.fullmatch(name)) is not None:
        parts = tensor.chunk(SHIFT_PARTS)
        stem = f"transformer_blocks.{shifts[1]}"
        return {
            f"{stem}.norm1.linear.{shifts[2]}": torch.cat([parts[at] for at in BEFORE_ATTENTION]),
            f"{stem}.norm2.linear.{shifts[2]}": torch.cat([parts[at] for at in AFTER_ATTENTION]),
        }
    layer = LAYER.fullmatch(name)
    return {} if layer is None else _in_layer(layer, tensor)


def _in_layer(layer: re.Match[str], tensor: Tensor) -> dict[str, Tensor]:
    stem = f"transformer_blocks.{layer[1]}"
    if layer[2] == JOINED:
        pieces = zip("qkv", tensor.chunk(3), strict=True)
        return {f"{stem}.attn1.to_{part}.{layer[3]}": piece for part, piece in pieces}
    return {f"{stem}.{IN_LAYER[layer[2]]}.{layer[3]}": tensor}


def config_of_release(shapes: Shapes) -> dict[str, Any]:
    """Return what diffusers builds the transformer from, by the shapes in a release."""
    with torch.device("meta"):
        tensors = {name: torch.empty(shape) for name, shape in shapes.items()}
    named = transformer_from_release(tensors)
    return transformer_config({name: tuple(tensor.shape) for name, tensor in named.items()})


def transformer_config(shapes: Shapes) -> dict[str, Any]:
    """Return what diffusers builds the transformer from, by the shapes under its names."""
    width, text = shapes[DIFFUSERS_MARK]
    head = shapes["transformer_blocks.0.attn1.norm_q.weight"][0]
    layers = {name.split(".")[1] for name in shapes if name.startswith("transformer_blocks.")}
    patch = shapes["patch_embed.proj.weight"]
    # Version 1.5 takes two frames at a time, as rows of numbers.
    later = len(patch) == 2
    deep = PATCH * PATCH * (PATCH if later else 1)
    offset = shapes.get("ofs_embedding.linear_1.weight")
    config: dict[str, Any] = {
        "num_attention_heads": width // head,
        "attention_head_dim": head,
        "in_channels": patch[1] // deep if later else patch[1],
        "out_channels": shapes["proj_out.weight"][0] // deep,
        "time_embed_dim": shapes["time_embedding.linear_1.weight"][0],
        "ofs_embed_dim": offset[0] if offset else None,
        "text_embed_dim": text,
        "num_layers": len(layers),
        "patch_size": PATCH,
        "use_rotary_positional_embeddings": later or POSITIONS in shapes or width > WIDTH_OF_2B,
        "use_learned_positional_embeddings": POSITIONS in shapes,
    }
    if later:
        config |= {
            "patch_size_t": PATCH,
            "sample_width": 170,
            "sample_height": 96,
            "sample_frames": 81,
            "max_text_seq_length": 224,
        }
    return config
