"""Video models of the real classes and layouts with few, random weights."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

VISION_LAYERS = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
VISION_TOP = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm.weight": "ln_pre.weight",
    "pre_layrnorm.bias": "ln_pre.bias",
    "post_layernorm.weight": "ln_post.weight",
    "post_layernorm.bias": "ln_post.bias",
}


def vision_network(projection: int = 32) -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=16,
        image_size=28,
        patch_size=14,
        projection_dim=projection,
    )
    return CLIPVisionModelWithProjection(config).eval()


def open_clip_vision(network: CLIPVisionModelWithProjection, prefix: str) -> dict[str, Tensor]:
    """Return the network as open_clip writes it: joined projections, other names."""
    state = network.state_dict()
    out = {ours: state[f"vision_model.{theirs}"] for theirs, ours in VISION_TOP.items()}
    out["proj"] = state["visual_projection.weight"].T
    for layer in range(network.config.num_hidden_layers):
        old, new = f"vision_model.encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for leaf in ("weight", "bias"):
            for theirs, ours in VISION_LAYERS.items():
                out[f"{new}{ours}.{leaf}"] = state[f"{old}{theirs}.{leaf}"]
            parts = [state[f"{old}self_attn.{part}_proj.{leaf}"] for part in "qkv"]
            out[f"{new}attn.in_proj_{leaf}"] = torch.cat(parts)
    return {prefix + name: tensor for name, tensor in out.items()}
