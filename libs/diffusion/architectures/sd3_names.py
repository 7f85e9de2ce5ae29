"""Stable Diffusion 3 in single files: sizes read off the tensors, names as diffusers has them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from libs.core.errors import Refused

CHANNELS_PER_HEAD: Final = 64
BLOCK: Final = re.compile(r"joint_blocks\.(\d+)\.(x_block|context_block)\.(.+)\.(weight|bias)")
TOP: Final = {
    "x_embedder.proj": "pos_embed.proj",
    "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
    "context_embedder": "context_embedder",
    "final_layer.linear": "proj_out",
}
IN_PICTURE: Final = {
    "attn.ln_q": "attn.norm_q",
    "attn.ln_k": "attn.norm_k",
    "attn.proj": "attn.to_out.0",
    "attn2.ln_q": "attn2.norm_q",
    "attn2.ln_k": "attn2.norm_k",
    "attn2.proj": "attn2.to_out.0",
    "adaLN_modulation.1": "norm1.linear",
    "mlp.fc1": "ff.net.0.proj",
    "mlp.fc2": "ff.net.2",
}
IN_TEXT: Final = {
    "attn.ln_q": "attn.norm_added_q",
    "attn.ln_k": "attn.norm_added_k",
    "attn.proj": "attn.to_add_out",
    "adaLN_modulation.1": "norm1_context.linear",
    "mlp.fc1": "ff_context.net.0.proj",
    "mlp.fc2": "ff_context.net.2",
}
JOINED: Final = {
    ("x_block", "attn.qkv"): ("attn.to_q", "attn.to_k", "attn.to_v"),
    ("x_block", "attn2.qkv"): ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
    ("context_block", "attn.qkv"): ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
}

Shapes = Mapping[str, tuple[int, ...]]


def sd3_config(shapes: Shapes) -> dict[str, Any]:
    """Return what diffusers builds this network from."""
    width, channels, patch, _ = shapes["x_embedder.proj.weight"]
    text_width = shapes["context_embedder.weight"]
    layers = blocks_in(shapes)
    dual = [at for at in range(layers) if f"joint_blocks.{at}.x_block.attn2.qkv.weight" in shapes]
    normed = "joint_blocks.0.x_block.attn.ln_q.weight" in shapes
    return {
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": shapes["final_layer.linear.weight"][0] // patch**2,
        "num_layers": layers,
        "attention_head_dim": CHANNELS_PER_HEAD,
        "num_attention_heads": max(1, width // CHANNELS_PER_HEAD),
        "joint_attention_dim": text_width[1],
        "caption_projection_dim": text_width[0],
        "pooled_projection_dim": shapes["y_embedder.mlp.0.weight"][1],
        "pos_embed_max_size": math.isqrt(shapes["pos_embed"][1]),
        "dual_attention_layers": tuple(dual),
        "qk_norm": "rms_norm" if normed else None,
    }


def blocks_in(shapes: Shapes) -> int:
    """Return how many blocks there are."""
    return len({name.split(".")[1] for name in shapes if name.startswith("joint_blocks.")})


def sd3_from_single_file(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under diffusers' names, joined projections taken apart."""
    last = blocks_in({name: tuple(tensor.shape) for name, tensor in tensors.items()}) - 1
    return {
        new: piece
        for name, tensor in tensors.items()
        for new, piece in _renamed(name, tensor, last)
    }


def _renamed(name: str, tensor: Tensor, last: int) -> Iterator[tuple[str, Tensor]]:
    stem, _, leaf = name.rpartition(".")
    block = BLOCK.fullmatch(name)
    if name == "pos_embed":
        yield "pos_embed.pos_embed", tensor
    elif stem in TOP:
        yield f"{TOP[stem]}.{leaf}", tensor
    elif stem == "final_layer.adaLN_modulation.1":
        yield f"norm_out.linear.{leaf}", scale_first(tensor)
    elif block is not None:
        yield from _in_block(int(block[1]), block[2], block[3], leaf, tensor, last)
    else:
        raise Refused("the weights do not fit their own layout", unexpected=[name])


def _in_block(
    number: int, side: str, inner: str, leaf: str, tensor: Tensor, last: int
) -> Iterator[tuple[str, Tensor]]:
    home = f"transformer_blocks.{number}."
    parts = JOINED.get((side, inner))
    if parts is not None:
        for part, piece in zip(parts, tensor.chunk(3), strict=True):
            yield f"{home}{part}.{leaf}", piece
        return
    new = (IN_PICTURE if side == "x_block" else IN_TEXT).get(inner)
    if new is None:
        raise Refused("the weights do not fit their own layout", unexpected=[f"{side}.{inner}"])
    # The last block looks at the text and does not change it: its norm is of the simpler kind.
    simple = side == "context_block" and number == last and inner == "adaLN_modulation.1"
    yield f"{home}{new}.{leaf}", scale_first(tensor) if simple else tensor


def scale_first(tensor: Tensor) -> Tensor:
    """Return a norm's rows as diffusers orders them: the scale before the shift."""
    shift, scale = tensor.chunk(2)
    return torch.cat([scale, shift])
