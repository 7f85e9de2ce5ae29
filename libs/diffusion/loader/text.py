"""The text encoders in a file: where they are, and which of the known ones each is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from libs.diffusion.text.reading import CLIP_G, CLIP_L, T5

# Where checkpoints keep text encoders.
PREFIXES: Final = ("cond_stage_model.", "conditioner.embedders.", "text_encoders.")
NAMES: Final = {"clip_l": CLIP_L, "clip_g": CLIP_G, "t5xxl": T5}
FOLDER_PARTS: Final = ("text_encoder", "text_encoder_2", "text_encoder_3")
# How the three ways of writing a text encoder are told.
TRANSFORMERS_ENDING: Final = "embeddings.token_embedding.weight"
OPEN_CLIP_ENDING: Final = "token_embedding.weight"
T5_ENDING: Final = "encoder.block.0.layer.0.SelfAttention.q.weight"
INNER: Final = "text_model."
# Of the CLIP text networks that files hold alone only CLIP-G is that deep.
CLIP_G_LAYER: Final = f"{INNER}encoder.layers.30.mlp.fc1.weight"

Layout = Literal["transformers", "open_clip", "t5"]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class TowerPlace:
    """A text encoder: what its tensors' names start with, how it is written, and its name."""

    prefix: str
    layout: Layout
    name: str

    @property
    def act(self) -> str:
        """What stands between its layers."""
        return "quick_gelu" if self.name == CLIP_L else "gelu"


def towers_in(shapes: Shapes) -> tuple[TowerPlace, ...]:
    """Find the text encoders of a checkpoint, in the order in which they are put side by side."""
    found = []
    for name in sorted(shapes):
        if name.startswith(PREFIXES) and (start := _start(name)) is not None:
            layout, prefix = start
            found.append(TowerPlace(prefix, layout, _name(prefix, layout)))
    return tuple(found)


def towers_in_folder(shapes: Shapes, configs: Mapping[str, Any]) -> tuple[TowerPlace, ...]:
    """Find the text encoders of a diffusers folder."""
    found = []
    for part in FOLDER_PARTS:
        prefix = f"{part}."
        if f"{prefix}{T5_ENDING}" in shapes:
            found.append(TowerPlace(prefix, "t5", T5))
        elif any(name.startswith(prefix) for name in shapes):
            act = configs.get(part, {}).get("hidden_act")
            name = CLIP_L if act == "quick_gelu" else CLIP_G
            found.append(TowerPlace(prefix, "transformers", name))
    return tuple(found)


def tower_alone(shapes: Shapes) -> TowerPlace | None:
    """Return the text encoder that a file holds alone, None if it is none."""
    for name in sorted(shapes):
        start = _start(name)
        if start is None:
            continue
        layout, prefix = start
        if layout != "transformers":
            return TowerPlace(prefix, layout, T5 if layout == "t5" else CLIP_G)
        deep = f"{prefix}{CLIP_G_LAYER}" in shapes
        return TowerPlace(prefix, layout, CLIP_G if deep else CLIP_L)
    return None


def _start(name: str) -> tuple[Layout, str] | None:
    """Return how a text encoder is written and its prefix, if `name` is the tensor that tells."""
    if name.endswith(T5_ENDING):
        return "t5", name.removesuffix(T5_ENDING)
    if name.endswith(TRANSFORMERS_ENDING):
        return "transformers", name.removesuffix(TRANSFORMERS_ENDING).removesuffix(INNER)
    if name.endswith(OPEN_CLIP_ENDING):
        return "open_clip", name.removesuffix(OPEN_CLIP_ENDING)
    return None


def _name(prefix: str, layout: Layout) -> str:
    parts = prefix.split(".")
    if parts[0] == "text_encoders" and parts[1] in NAMES:
        return NAMES[parts[1]]
    return {"open_clip": CLIP_G, "transformers": CLIP_L, "t5": T5}[layout]
