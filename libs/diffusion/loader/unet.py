"""The shape of a UNet, read off the names and sizes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libs.core.errors import Refused

HEADS_OF_SD1 = 8
CHANNELS_PER_HEAD = 64
GROUPS_MAX = 32
CHANNELS_PER_GROUP = 4
TIME_ID_WIDTH = 256

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Level:
    """One resolution of the encoder: its width, residual blocks, and transformer depth."""

    channels: int
    blocks: int
    depth: int


@dataclass(frozen=True)
class UnetShape:
    """What a UNet looks like; `summary` is the width of SDXL's summary and sizes, or 0."""

    levels: tuple[Level, ...]
    middle_depth: int
    in_channels: int
    out_channels: int
    context: int
    summary: int
    linear: bool

    @classmethod
    def of(cls, shapes: Shapes) -> UnetShape:
        """Derive the shape from the tensors of a single-file checkpoint."""
        return cls(
            levels=_levels(shapes),
            middle_depth=_depth(shapes, "middle_block"),
            in_channels=shapes["input_blocks.0.0.weight"][1],
            out_channels=shapes["out.2.weight"][0],
            context=_first(shapes, "transformer_blocks.0.attn2.to_k.weight")[1],
            summary=shapes.get("label_emb.0.0.weight", (0, 0))[1],
            linear=len(_first(shapes, ".1.proj_in.weight")) == 2,
        )

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> UnetShape:
        """Derive the shape from the settings in a diffusers folder."""
        widths = settings["block_out_channels"]
        deep = [name.startswith("CrossAttn") for name in settings["down_block_types"]]
        depths = _each(settings.get("transformer_layers_per_block", 1), len(widths))
        blocks = _each(settings.get("layers_per_block", 2), len(widths))
        levels = zip(widths, blocks, depths, deep, strict=True)
        return cls(
            levels=tuple(Level(w, b, depth if has else 0) for w, b, depth, has in levels),
            middle_depth=depths[-1],
            in_channels=settings["in_channels"],
            out_channels=settings["out_channels"],
            context=settings["cross_attention_dim"],
            summary=settings.get("projection_class_embeddings_input_dim") or 0,
            linear=bool(settings.get("use_linear_projection")),
        )

    def config(self) -> dict[str, Any]:
        """Return what diffusers builds this UNet from."""
        widths = tuple(level.channels for level in self.levels)
        deep = [level.depth > 0 for level in self.levels]
        config: dict[str, Any] = {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "block_out_channels": widths,
            "layers_per_block": self.levels[0].blocks,
            "down_block_types": tuple(_block("Down", d) for d in deep),
            "up_block_types": tuple(_block("Up", d) for d in reversed(deep)),
            "cross_attention_dim": self.context,
            "transformer_layers_per_block": self._depths(),
            "attention_head_dim": self._heads(widths),
            "use_linear_projection": self.linear,
            "norm_num_groups": norm_groups(widths),
        }
        if self.summary:
            config |= {
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": TIME_ID_WIDTH,
                "projection_class_embeddings_input_dim": self.summary,
            }
        return config

    def _depths(self) -> tuple[int, ...]:
        """Return a depth per level; the middle takes the last, whether or not that attends."""
        *upper, last = (level.depth for level in self.levels)
        return (*(depth or 1 for depth in upper), last or self.middle_depth)

    def _heads(self, widths: tuple[int, ...]) -> int | tuple[int, ...]:
        if not self.summary:
            return HEADS_OF_SD1
        return tuple(max(1, width // CHANNELS_PER_HEAD) for width in widths)


def _each(value: int | Sequence[int], count: int) -> list[int]:
    return [value] * count if isinstance(value, int) else list(value)


def norm_groups(widths: tuple[int, ...]) -> int:
    """Return how many groups a network of these widths is normalised in."""
    return min(GROUPS_MAX, max(1, min(widths) // CHANNELS_PER_GROUP))


def _levels(shapes: Shapes) -> tuple[Level, ...]:
    levels: list[Level] = []
    blocks = depth = channels = 0
    at = 1
    while any(name.startswith(f"input_blocks.{at}.") for name in shapes):
        if f"input_blocks.{at}.0.op.weight" in shapes:
            levels.append(Level(channels, blocks, depth))
            blocks = depth = 0
        else:
            channels = shapes[f"input_blocks.{at}.0.out_layers.3.weight"][0]
            blocks += 1
            depth = _depth(shapes, f"input_blocks.{at}")
        at += 1
    return (*levels, Level(channels, blocks, depth))


def _first(shapes: Shapes, ending: str) -> tuple[int, ...]:
    for name, shape in shapes.items():
        if name.endswith(ending):
            return shape
    raise Refused("the UNet attends to no text", missing=ending)


def _depth(shapes: Shapes, block: str) -> int:
    pattern = re.compile(rf"{re.escape(block)}\.1\.transformer_blocks\.(\d+)\.")
    found = [int(match[1]) for match in map(pattern.match, shapes) if match]
    return max(found, default=-1) + 1


def _block(side: str, deep: bool) -> str:
    return f"CrossAttn{side}Block2D" if deep else f"{side}Block2D"
