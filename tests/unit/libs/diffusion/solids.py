"""A Shap-E model of the real classes with few random weights, in the layout of published folders."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import torch
from diffusers import HeunDiscreteScheduler, PriorTransformer
from diffusers.pipelines.shap_e.renderer import ShapERenderer
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModel,
)
from transformers.utils import logging

WIDTH, PARTS = 16, 32
PRIOR: dict[str, Any] = {
    "num_attention_heads": 2, "attention_head_dim": 8, "embedding_dim": WIDTH,
    "num_embeddings": PARTS, "time_embed_dim": 32, "num_layers": 1, "clip_embed_dim": 2 * WIDTH,
    "additional_embeddings": 0, "time_embed_act_fn": "gelu", "norm_in_type": "layer",
    "encoder_hid_proj_type": None, "added_emb_type": None,
}  # fmt: skip
RENDERER: dict[str, Any] = {
    "param_shapes": ((8, 93), (8, 8), (8, 8), (8, 8)), "d_latent": WIDTH, "d_hidden": 8,
    "n_output": 12, "background": (0.1, 0.1, 0.1),
}  # fmt: skip
# As the published folders have it.
SCHEDULER: dict[str, Any] = {
    "beta_schedule": "exp", "num_train_timesteps": 1024, "prediction_type": "sample",
    "use_karras_sigmas": True, "clip_sample": True, "clip_sample_range": 1.0,
}  # fmt: skip


def parts_of(kind: str) -> dict[str, Any]:
    """Return the networks of a model for texts or for pictures."""
    torch.manual_seed(6)
    renderer = ShapERenderer(**RENDERER)
    # Loud enough that some of the space lies inside of the solid.
    renderer.mlp.mlp[-1].weight.data.mul_(12)
    cases, masks = corners_to_triangles()
    renderer.mesh_decoder.cases.copy_(cases)
    renderer.mesh_decoder.masks.copy_(masks)
    parts: dict[str, Any] = {"shap_e_renderer": renderer}
    if kind == "text":
        parts["prior"] = PriorTransformer(**PRIOR, embedding_proj_dim=24)
        parts["text_encoder"] = CLIPTextModelWithProjection(
            CLIPTextConfig(
                hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                projection_dim=24, eos_token_id=49407,
            )
        )  # fmt: skip
        return parts
    parts["prior"] = PriorTransformer(
        **PRIOR, embedding_proj_dim=24, embedding_proj_norm_type="layer"
    )
    parts["image_encoder"] = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=24, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            image_size=32, patch_size=8,
        )
    )  # fmt: skip
    return parts


def written(folder: Path, parts: dict[str, Any]) -> Path:
    """Write a model as diffusers does, and return its folder."""
    logging.disable_progress_bar()
    index: dict[str, Any] = {"_class_name": "ShapEPipeline", "scheduler": ["diffusers", "Heun"]}
    for name, network in parts.items():
        network.eval().save_pretrained(folder / name)
        index[name] = [type(network).__module__.partition(".")[0], type(network).__name__]
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    HeunDiscreteScheduler(**SCHEDULER).save_pretrained(folder / "scheduler")
    return folder


CORNERS = list(product((0, 1), repeat=3))
# The edges of a cube as the decoder numbers them: along x, along y, along z.
EDGES = [
    frozenset({(0, y, z), (1, y, z)}) for z, y in product((0, 1), repeat=2)
] + [
    frozenset({(x, 0, z), (x, 1, z)}) for z, x in product((0, 1), repeat=2)
] + [
    frozenset({(x, y, 0), (x, y, 1)}) for y, x in product((0, 1), repeat=2)
]  # fmt: skip


def corners_to_triangles() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the table of marching cubes: triangles of edges for each pattern of corners."""
    cases, masks = torch.zeros(256, 5, 3, dtype=torch.long), torch.zeros(256, 5, dtype=torch.bool)
    for case in range(256):
        inside = {(x, y, z) for x, y, z in CORNERS if case >> (x + 2 * y + 4 * z) & 1}
        for number, triangle in enumerate(triangles_around(inside)):
            cases[case, number] = torch.tensor(triangle)
            masks[case, number] = True
    return cases, masks


def triangles_around(inside: set[Any]) -> list[tuple[int, int, int]]:
    """Return triangles that part the corners inside from the others."""
    after: dict[int, int] = {}
    for ring in faces():
        for place, corner in enumerate(ring):
            entered = corner in inside and ring[place - 1] not in inside
            if not entered:
                continue
            last = place
            while ring[(last + 1) % 4] in inside:
                last += 1
            begin = EDGES.index(frozenset({ring[place - 1], corner}))
            after[EDGES.index(frozenset({ring[last % 4], ring[(last + 1) % 4]}))] = begin
    found = []
    while after:
        first, loop = next(iter(after)), []
        while first in after:
            loop.append(first)
            first = after.pop(first)
        found += [(loop[0], loop[n], loop[n + 1]) for n in range(1, len(loop) - 1)]
    return found


def faces() -> list[list[Any]]:
    """Return the corners of each face, anticlockwise as seen from outside."""
    ring = [(0, 0), (1, 0), (1, 1), (0, 1)]
    rings = []
    for axis, side in product(range(3), (0, 1)):
        others = [(axis + 1) % 3, (axis + 2) % 3]
        corners = []
        for pair in ring if side else ring[::-1]:
            corner = [0, 0, 0]
            corner[axis], corner[others[0]], corner[others[1]] = side, *pair
            corners.append(tuple(corner))
        rings.append(corners)
    return rings
