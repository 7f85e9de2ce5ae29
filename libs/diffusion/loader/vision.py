"""A vision network in a file: where it is, how it is shaped, how it is read.

CLIP's in two layouts, and SigLIP's as transformers writes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from libs.core.errors import Refused
from libs.diffusion.loader.build import build
from libs.diffusion.loader.clip_tower import from_open_clip

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
VisionNetwork: TypeAlias = CLIPVisionModelWithProjection | SiglipVisionModel

MARK: Final = "vision_model.embeddings.class_embedding"
# Of SigLIP alone: its patches have a bias, and no word stands for the whole picture.
SIGLIP_MARK: Final = "vision_model.embeddings.patch_embedding.bias"
SIGLIP_STEM: Final = "vision_model."
# It sums up a picture; nobody here asks for that.
SIGLIP_HEAD: Final = "vision_model.head."
OPEN_CLIP_MARK: Final = "class_embedding"
PROJECTION: Final = "visual_projection.weight"
OPEN_CLIP_PROJECTION: Final = "proj"
OPEN_CLIP_NAMES: Final = {
    "class_embedding": "embeddings.class_embedding",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}
HEADS: Final = 16
# The one size in use that has other heads: ViT-B.
HEADS_BY_WIDTH: Final = {768: 12}
# The side of pictures that is no multiple of the patch, by patch and count of patches.
SIDES: Final = {(14, 729): 384}
# What ComfyUI computes it with; the network was trained with a tenth of that.
SIGLIP_EPSILON: Final = 1e-5
# From this width on, the networks in use were trained by open_clip, with another activation.
WIDTH_OF_OPEN_CLIP: Final = 1280


@dataclass(frozen=True)
class VisionPlace:
    """Where a vision network's tensors start, and which of the two ways they are written in."""

    prefix: str
    open_clip: bool
    siglip: bool = False

    def holds(self, name: str) -> bool:
        """Say whether a tensor belongs to the network, and not to another one beside it."""
        inside = name.removeprefix(self.prefix)
        if not name.startswith(self.prefix):
            return False
        if self.siglip:
            return inside.startswith(SIGLIP_STEM) and not inside.startswith(SIGLIP_HEAD)
        return self.open_clip or inside.startswith(("vision_model.", PROJECTION))


def vision_in(shapes: Shapes) -> VisionPlace | None:
    """Find the vision network of a file, None if it has none."""
    for name in sorted(shapes):
        if name.endswith(MARK):
            return VisionPlace(name.removesuffix(MARK), open_clip=False)
    for name in sorted(shapes):
        if name.endswith(SIGLIP_MARK):
            return VisionPlace(name.removesuffix(SIGLIP_MARK), open_clip=False, siglip=True)
    for name in sorted(shapes):
        prefix = name.removesuffix(OPEN_CLIP_MARK)
        if name.endswith(OPEN_CLIP_MARK) and f"{prefix}conv1.weight" in shapes:
            return VisionPlace(prefix, open_clip=True)
    return None


def build_vision(place: VisionPlace, tensors: Mapping[str, Tensor]) -> VisionNetwork:
    """Build the network from its tensors, without prefix."""
    if place.siglip:
        inner = {name.removeprefix(SIGLIP_STEM): tensor for name, tensor in tensors.items()}
        sizes = {name: tuple(tensor.shape) for name, tensor in inner.items()}
        return build(lambda: SiglipVisionModel(siglip_config(sizes)), inner)
    named = _renamed(tensors) if place.open_clip else dict(tensors)
    config = vision_config({name: tuple(tensor.shape) for name, tensor in named.items()})
    return build(lambda: CLIPVisionModelWithProjection(config), named)


def vision_config(shapes: Shapes) -> CLIPVisionConfig:
    """Return what transformers builds this network from."""
    if PROJECTION not in shapes:
        raise Refused("the vision network sums up no picture", missing=PROJECTION)
    stem = "vision_model."
    width, _, patch, _ = shapes[f"{stem}embeddings.patch_embedding.weight"]
    places = shapes[f"{stem}embeddings.position_embedding.weight"][0]
    layers = {name.split(".")[3] for name in shapes if name.startswith(f"{stem}encoder.layers.")}
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=shapes[f"{stem}encoder.layers.0.mlp.fc1.weight"][0],
        num_hidden_layers=len(layers),
        num_attention_heads=HEADS_BY_WIDTH.get(width, HEADS),
        image_size=math.isqrt(places - 1) * patch,
        patch_size=patch,
        projection_dim=shapes[PROJECTION][0],
        hidden_act="gelu" if width >= WIDTH_OF_OPEN_CLIP else "quick_gelu",
    )


def siglip_config(shapes: Shapes) -> SiglipVisionConfig:
    """Return what transformers builds this SigLIP from."""
    width, _, patch, _ = shapes["embeddings.patch_embedding.weight"]
    places = shapes["embeddings.position_embedding.weight"][0]
    layers = {name.split(".")[2] for name in shapes if name.startswith("encoder.layers.")}
    return SiglipVisionConfig(
        hidden_size=width,
        intermediate_size=shapes["encoder.layers.0.mlp.fc1.weight"][0],
        num_hidden_layers=len(layers),
        num_attention_heads=HEADS_BY_WIDTH.get(width, HEADS),
        image_size=SIDES.get((patch, places), math.isqrt(places) * patch),
        patch_size=patch,
        layer_norm_eps=SIGLIP_EPSILON,
        vision_use_head=False,
    )


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return open_clip's tensors as transformers names them; its projection lies on its side."""
    inner = dict(tensors)
    projection = inner.pop(OPEN_CLIP_PROJECTION, None)
    known = {OPEN_CLIP_NAMES.get(name, name): tensor for name, tensor in inner.items()}
    named = {f"vision_model.{name}": tensor for name, tensor in from_open_clip(known).items()}
    if projection is not None:
        named[PROJECTION] = projection.T.contiguous()
    return named
