"""A motion module of AnimateDiff in a file: how it is shaped, and how it is read.

Files in use have the names of the first release, or those that diffusers gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from diffusers import MotionAdapter
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.loader.build import build
from libs.diffusion.loader.unet import norm_groups

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

HEADS: Final = 8
PLACE: Final = re.compile(
    r"(?:.*\.)?((?:down_blocks\.\d+|up_blocks\.\d+|mid_block)\.motion_modules\..+)"
)
POSITIONS: Final = ".pos_embed.pe"
RENAMED: Final = (
    (".temporal_transformer.", "."),
    (".attention_blocks.0.pos_encoder.pe", POSITIONS),
    (".attention_blocks.0.", ".attn1."),
    (".attention_blocks.1.", ".attn2."),
    (".norms.0.", ".norm1."),
    (".norms.1.", ".norm2."),
    (".ff_norm.", ".norm3."),
)
# Both attentions are told the same positions; diffusers keeps them once.
SAID_TWICE: Final = ".attention_blocks.1.pos_encoder."


@dataclass(frozen=True)
class MotionShape:
    """What a motion module looks like; `frames_max` is how many frames it can tell apart."""

    widths: tuple[int, ...]
    layers: int
    frames_max: int
    has_middle: bool

    @classmethod
    def of(cls, shapes: Shapes) -> MotionShape:
        """Derive it from a file's tensors; raise Refused if it is no motion module."""
        names = motion_names(shapes)
        named = {name: shapes[theirs] for theirs, name in names.items()}
        widths: list[int] = []
        while (first := f"down_blocks.{len(widths)}.motion_modules.0.norm.weight") in named:
            widths.append(named[first][0])
        positions = [shape for name, shape in named.items() if name.endswith(POSITIONS)]
        if not widths or not positions:
            raise Refused("the file holds no motion module", missing="down_blocks.0.motion_modules")
        layers = {name.split(".")[3] for name in named if name.startswith("down_blocks.0.")}
        return cls(
            tuple(widths),
            len(layers),
            positions[0][1],
            any(name.startswith("mid_block.") for name in named),
        )


def motion_names(names: Iterable[str]) -> dict[str, str]:
    """Return what diffusers calls each tensor of a motion module; others are left out."""
    found: dict[str, str] = {}
    for name in names:
        place = PLACE.fullmatch(name)
        if place is None or SAID_TWICE in name:
            continue
        renamed = place[1]
        for theirs, ours in RENAMED:
            renamed = renamed.replace(theirs, ours)
        found[name] = renamed
    return found


def build_motion(shape: MotionShape, tensors: Mapping[str, Tensor]) -> MotionAdapter:
    """Build a motion module from the tensors of its file."""
    named = {name: tensors[theirs] for theirs, name in motion_names(tensors).items()}
    return build(
        lambda: MotionAdapter(
            block_out_channels=shape.widths,
            motion_layers_per_block=shape.layers,
            motion_num_attention_heads=HEADS,
            motion_norm_num_groups=norm_groups(shape.widths),
            motion_max_seq_length=shape.frames_max,
            use_motion_mid_block=shape.has_middle,
        ),
        named,
    )
