"""The text encoders in a checkpoint: where they are, how they are shaped, how they are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from libs.diffusion.loader.build import build
from libs.diffusion.text.tower import TowerNetwork
from libs.text.tokenizer import END, START

CHANNELS_PER_HEAD = 64
PREFIXES = ("cond_stage_model.", "conditioner.embedders.")
# The two ways in which checkpoints write a CLIP text network.
TRANSFORMERS_ENDING = "embeddings.token_embedding.weight"
OPEN_CLIP_ENDING = "token_embedding.weight"

OPEN_CLIP_NAMES = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
OPEN_CLIP_LAYER_NAMES = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
OPEN_CLIP_LAYER = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")
TEXT_PROJECTION = "text_projection"

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class TowerPlace:
    """Where a text encoder's tensors start, and which of the two ways they are written in."""

    prefix: str
    open_clip: bool


def towers_in(shapes: Shapes) -> tuple[TowerPlace, ...]:
    """Find the text encoders of a checkpoint, in the order in which they are put side by side."""
    places = []
    for name in sorted(shapes):
        if not name.startswith(PREFIXES):
            continue
        if name.endswith(TRANSFORMERS_ENDING):
            places.append(TowerPlace(name.removesuffix(TRANSFORMERS_ENDING), open_clip=False))
        elif name.endswith(OPEN_CLIP_ENDING):
            places.append(TowerPlace(name.removesuffix(OPEN_CLIP_ENDING), open_clip=True))
    return tuple(places)


def build_tower(place: TowerPlace, tensors: dict[str, Tensor]) -> TowerNetwork:
    """Build a text encoder from its tensors, without prefix."""
    projection = tensors.pop(TEXT_PROJECTION, None)
    tensors.pop("logit_scale", None)
    if place.open_clip:
        tensors = from_open_clip(tensors)
    config = text_config(tensors, act="gelu" if place.open_clip else "quick_gelu")
    text = build(lambda: CLIPTextModel(config), tensors)
    return TowerNetwork(text, _linear(projection) if projection is not None else None)


def text_config(tensors: Mapping[str, Tensor], act: str) -> CLIPTextConfig:
    """Return what transformers builds this text network from."""
    vocabulary, width = tensors["embeddings.token_embedding.weight"].shape
    layers = {name.split(".")[2] for name in tensors if name.startswith("encoder.layers.")}
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=tensors["encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, width // CHANNELS_PER_HEAD),
        max_position_embeddings=tensors["embeddings.position_embedding.weight"].shape[0],
        hidden_act=act,
        projection_dim=width,
        bos_token_id=START,
        eos_token_id=END,
        pad_token_id=END,
    )


def from_open_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename an open_clip text network's tensors, and split its joined projections."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer = OPEN_CLIP_LAYER.fullmatch(name)
        if layer is None:
            renamed[OPEN_CLIP_NAMES.get(name, name)] = tensor
            continue
        stem, inner = f"encoder.layers.{layer[1]}.", layer[2]
        if inner.startswith("attn.in_proj_"):
            ending = inner.removeprefix("attn.in_proj_")
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                renamed[f"{stem}self_attn.{part}_proj.{ending}"] = piece
        else:
            module, _, ending = inner.rpartition(".")
            renamed[f"{stem}{OPEN_CLIP_LAYER_NAMES.get(module, module)}.{ending}"] = tensor
    return renamed


def _linear(weight: Tensor) -> nn.Linear:
    """Return the projection as a layer; the checkpoint holds it the other way round."""
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[0], weight.shape[1], bias=False)
    layer.load_state_dict({"weight": weight.T}, assign=True)
    return layer.requires_grad_(False)
