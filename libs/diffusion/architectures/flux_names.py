"""Flux in single files: sizes read off the tensors, names as diffusers has them, any width."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.architectures.sd3_names import scale_first

BLOCK: Final = re.compile(r"(double|single)_blocks\.(\d+)\.(.+)\.(weight|bias|scale)")
TOP: Final = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.linear": "proj_out",
}
HOMES: Final = {"double": "transformer_blocks", "single": "single_transformer_blocks"}
INNER: Final = {
    "double": {
        "img_mod.lin": "norm1.linear",
        "txt_mod.lin": "norm1_context.linear",
        "img_attn.proj": "attn.to_out.0",
        "txt_attn.proj": "attn.to_add_out",
        "img_attn.norm.query_norm": "attn.norm_q",
        "img_attn.norm.key_norm": "attn.norm_k",
        "txt_attn.norm.query_norm": "attn.norm_added_q",
        "txt_attn.norm.key_norm": "attn.norm_added_k",
        "img_mlp.0": "ff.net.0.proj",
        "img_mlp.2": "ff.net.2",
        "txt_mlp.0": "ff_context.net.0.proj",
        "txt_mlp.2": "ff_context.net.2",
    },
    "single": {
        "modulation.lin": "norm.linear",
        "linear2": "proj_out",
        "norm.query_norm": "attn.norm_q",
        "norm.key_norm": "attn.norm_k",
    },
}
JOINED: Final = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
}
JOINED_IN_SINGLE: Final = "linear1"
# Of a head's numbers an eighth turns with the picture's index, the rest with row and column.
HEAD_PARTS: Final = 16
HEAD_SHARES: Final = (2, 7, 7)

Shapes = Mapping[str, tuple[int, ...]]


def flux_config(shapes: Shapes) -> dict[str, Any]:
    """Return what diffusers builds this network from."""
    width, channels = shapes["img_in.weight"]
    head = shapes["double_blocks.0.img_attn.norm.query_norm.scale"][0]
    return {
        "patch_size": 1,
        "in_channels": channels,
        "out_channels": shapes["final_layer.linear.weight"][0],
        "num_layers": _count(shapes, "double_blocks."),
        "num_single_layers": _count(shapes, "single_blocks."),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "pooled_projection_dim": shapes["vector_in.in_layer.weight"][1],
        "guidance_embeds": "guidance_in.in_layer.weight" in shapes,
        "axes_dims_rope": tuple(head // HEAD_PARTS * share for share in HEAD_SHARES),
    }


def flux_from_single_file(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under diffusers' names, joined projections taken apart."""
    width = tensors["img_in.weight"].shape[0]
    return {
        new: piece
        for name, tensor in tensors.items()
        for new, piece in _renamed(name, tensor, width)
    }


def _renamed(name: str, tensor: Tensor, width: int) -> Iterator[tuple[str, Tensor]]:
    stem, _, leaf = name.rpartition(".")
    block = BLOCK.fullmatch(name)
    if stem in TOP:
        yield f"{TOP[stem]}.{leaf}", tensor
    elif stem == "final_layer.adaLN_modulation.1":
        yield f"norm_out.linear.{leaf}", scale_first(tensor)
    elif block is not None:
        yield from _in_block(block, tensor, width)
    else:
        raise Refused("the weights do not fit their own layout", unexpected=[name])


def _in_block(block: re.Match[str], tensor: Tensor, width: int) -> Iterator[tuple[str, Tensor]]:
    kind, number, inner, leaf = block.groups()
    home = f"{HOMES[kind]}.{number}."
    parts = JOINED.get(inner)
    if parts is not None:
        # Behind the three projections of a single block lies what goes on into its gate.
        rest = [tensor.shape[0] - 3 * width] if inner == JOINED_IN_SINGLE else []
        pieces = torch.split(tensor, [width, width, width, *rest])
        for part, piece in zip(parts, pieces, strict=True):
            yield f"{home}{part}.{leaf}", piece
        return
    new = INNER[kind].get(inner)
    if new is None:
        raise Refused("the weights do not fit their own layout", unexpected=[block[0]])
    yield f"{home}{new}.{'weight' if leaf == 'scale' else leaf}", tensor


def _count(shapes: Shapes, start: str) -> int:
    return len({name.split(".")[1] for name in shapes if name.startswith(start)})
