"""CONDITIONING: encoded texts, each with where and when it counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from libs.diffusion.values import PIXELS_PER_CELL


@dataclass(frozen=True)
class Area:
    """A rectangle of a latent, in cells of eight pixels."""

    height: int
    width: int
    y: int
    x: int

    @property
    def size(self) -> int:
        """In cells."""
        return self.height * self.width

    @property
    def is_empty(self) -> bool:
        """Say whether no cell lies in it, as in one cut to a latent that it lies beside."""
        return self.height <= 0 or self.width <= 0

    def encloses(self, other: Area) -> bool:
        """Say whether `other` lies in this rectangle."""
        return (
            self.x <= other.x
            and self.y <= other.y
            and self.x + self.width >= other.x + other.width
            and self.y + self.height >= other.y + other.height
        )


@dataclass(frozen=True)
class Entry:
    """One encoded text: [1, tokens, width], and the summary [1, width] that SDXL wants.

    `start` and `end` are parts of the course, 0 the noise and 1 the picture.
    """

    context: Tensor
    pooled: Tensor | None = None
    area: Area | None = None
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0


@dataclass(frozen=True)
class Conditioning:
    """Encoded texts side by side."""

    entries: tuple[Entry, ...]

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return sum(
            entry.context.nbytes + (entry.pooled.nbytes if entry.pooled is not None else 0)
            for entry in self.entries
        )

    def combined(self, other: Conditioning) -> Conditioning:
        """Return both side by side."""
        return Conditioning(self.entries + other.entries)

    def joined(self, other: Conditioning) -> Conditioning:
        """Return each text with the other's first text behind it."""
        tail = other.entries[0].context
        return Conditioning(
            tuple(
                replace(entry, context=torch.cat([entry.context, tail], 1))
                for entry in self.entries
            )
        )

    def averaged(self, other: Conditioning, weight: float) -> Conditioning:
        """Return each text blended with the other's first, `weight` of its own."""
        second = other.entries[0]
        return Conditioning(tuple(_blend(entry, second, weight) for entry in self.entries))

    def within(self, *, width: int, height: int, x: int, y: int, strength: float) -> Conditioning:
        """Return it bound to a rectangle, in pixels."""
        area = Area(*(side // PIXELS_PER_CELL for side in (height, width, y, x)))
        return Conditioning(
            tuple(replace(entry, area=area, strength=strength) for entry in self.entries)
        )

    def during(self, start: float, end: float) -> Conditioning:
        """Return it bound to a part of the steps, 0 to 1."""
        return Conditioning(tuple(replace(entry, start=start, end=end) for entry in self.entries))


def _blend(entry: Entry, other: Entry, weight: float) -> Entry:
    tokens = entry.context.shape[1]
    fitting = other.context[:, :tokens]
    if fitting.shape[1] < tokens:
        missing = fitting.new_zeros(1, tokens - fitting.shape[1], fitting.shape[2])
        fitting = torch.cat([fitting, missing], 1)
    context = entry.context * weight + fitting * (1.0 - weight)
    pooled = entry.pooled if other.pooled is None else other.pooled
    if entry.pooled is not None and other.pooled is not None:
        pooled = entry.pooled * weight + other.pooled * (1.0 - weight)
    return replace(entry, context=context, pooled=pooled)
