"""CLIP text networks built from their tensors, whichever way those are written."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from libs.diffusion.loader.build import build
from libs.diffusion.loader.text import INNER, TowerPlace
from libs.diffusion.text.tower import TowerNetwork
from libs.text.tokenizer import END, START

CHANNELS_PER_HEAD = 64

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
LINEAR_PROJECTION = "text_projection.weight"
BESIDE_THE_NETWORK = frozenset({"logit_scale"})


def build_tower(place: TowerPlace, tensors: dict[str, Tensor]) -> TowerNetwork:
    """Build a text encoder from its tensors, without prefix."""
    projection = tensors.pop(TEXT_PROJECTION, None)
    if projection is not None:
        # Written by open_clip as what a text is multiplied with, by others as a layer's weight.
        projection = projection.T
    projection = tensors.pop(LINEAR_PROJECTION, projection)
    tensors = {
        name.removeprefix(INNER): tensor
        for name, tensor in tensors.items()
        if name not in BESIDE_THE_NETWORK
    }
    if place.layout == "open_clip":
        tensors = from_open_clip(tensors)
    config = text_config(tensors, act=place.act)
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
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.load_state_dict({"weight": weight}, assign=True)
    return layer.requires_grad_(False)
