"""The tensors of text encoders under the names that single files have for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.loader.clip_tower import (
    LINEAR_PROJECTION,
    OPEN_CLIP_LAYER_NAMES,
    OPEN_CLIP_NAMES,
    TEXT_PROJECTION,
)
from libs.diffusion.loader.text import INNER
from libs.diffusion.saving.layout import tensors_of
from libs.diffusion.text.clip import Clip, T5Tower, Tower
from libs.diffusion.text.reading import CLIP_G, CLIP_L, T5

FILE_NAMES: Final[Mapping[str, str]] = {CLIP_L: "clip_l", CLIP_G: "clip_g", T5: "t5xxl"}
# Where checkpoints of a family keep each encoder; all others keep them by name.
PREFIXES: Final[Mapping[str, Mapping[str, str]]] = {
    "sd1": {CLIP_L: "cond_stage_model.transformer."},
    "sdxl": {
        CLIP_L: "conditioner.embedders.0.transformer.",
        CLIP_G: "conditioner.embedders.1.model.",
    },
    "sdxl_refiner": {CLIP_G: "conditioner.embedders.0.model."},
}
OPEN_CLIP_FAMILIES: Final = frozenset({"sdxl", "sdxl_refiner"})
QKV: Final = "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"


def encoder_tensors(tower: Tower | T5Tower) -> dict[str, Tensor]:
    """Return an encoder as files that hold it alone have it."""
    if isinstance(tower, T5Tower):
        return tensors_of(tower.network.get())
    network = tower.network.get()
    tensors = {f"{INNER}{name}": tensor for name, tensor in tensors_of(network.text).items()}
    if network.projection is not None:
        tensors[LINEAR_PROJECTION] = network.projection.weight.detach()
    return tensors


def clip_tensors(clip: Clip, family: str) -> dict[str, Tensor]:
    """Return the text encoders as a checkpoint of a family has them."""
    found: dict[str, Tensor] = {}
    for tower in clip.towers:
        by_name = f"text_encoders.{FILE_NAMES[tower.name]}.transformer."
        prefix = PREFIXES.get(family, {}).get(tower.name, by_name)
        if family in PREFIXES and tower.name not in PREFIXES[family]:
            raise Refused("this text encoder belongs to another kind of model", encoder=tower.name)
        tensors = encoder_tensors(tower)
        if tower.name == CLIP_G and family in OPEN_CLIP_FAMILIES:
            tensors = as_open_clip(tensors)
        found |= {f"{prefix}{name}": tensor for name, tensor in tensors.items()}
    return found


def as_open_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a CLIP text network as open_clip writes it, its projections joined."""
    found: dict[str, Tensor] = {}
    outer = {ours: theirs for theirs, ours in OPEN_CLIP_NAMES.items()}
    inner = {ours: theirs for theirs, ours in OPEN_CLIP_LAYER_NAMES.items()}
    for name, tensor in tensors.items():
        bare = name.removeprefix(INNER)
        if name == LINEAR_PROJECTION:
            found[TEXT_PROJECTION] = tensor.T
        elif bare in outer:
            found[outer[bare]] = tensor
        else:
            _, _, layer, rest = bare.split(".", 3)
            module, _, leaf = rest.rpartition(".")
            home = f"transformer.resblocks.{layer}."
            if module == QKV[0]:
                parts = [tensors[f"{INNER}encoder.layers.{layer}.{part}.{leaf}"] for part in QKV]
                found[f"{home}attn.in_proj_{leaf}"] = torch.cat(parts)
            elif module not in QKV:
                found[f"{home}{inner[module]}.{leaf}"] = tensor
    return found
