"""Networks over pictures too large for them: in tiles whose edges are blended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

from array_api_compat import array_namespace

from libs.core.errors import Refused
from libs.sampling.levels import Array

OVERLAPS_PER_TILE_MIN: Final = 4


@dataclass(frozen=True)
class Tiling:
    """How a batch is cut, in its own units; `scale` leads from those to the output's."""

    height: int
    width: int
    overlap: int
    scale: float

    @classmethod
    def of_latents(cls, tile_pixels: int, overlap_pixels: int, pixels_per_cell: int) -> Tiling:
        """Return how latents are cut; an overlap never takes more than a quarter of a tile."""
        if tile_pixels < overlap_pixels * OVERLAPS_PER_TILE_MIN:
            overlap_pixels = tile_pixels // OVERLAPS_PER_TILE_MIN
        side = tile_pixels // pixels_per_cell
        return cls(side, side, overlap_pixels // pixels_per_cell, pixels_per_cell)

    @classmethod
    def of_pictures(cls, tile_pixels: int, overlap_pixels: int, pixels_per_cell: int) -> Tiling:
        """Return how pictures are cut; raise Refused where narrow tiles would not get on."""
        if overlap_pixels * 2 >= tile_pixels:
            raise Refused(
                "tiles must overlap by less than half of their side",
                field="overlap",
                received=overlap_pixels,
                maximum=tile_pixels // 2 - 1,
            )
        return cls(tile_pixels, tile_pixels, overlap_pixels, 1 / pixels_per_cell)

    def shapes(self) -> Iterator[Tiling]:
        """Yield tall, wide and plain tiles of one area: seams lie elsewhere in each."""
        yield replace(self, height=self.height * 2, width=self.width // 2)
        yield replace(self, height=self.height // 2, width=self.width * 2)
        yield self

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The two sides of a picture, as they are cut."""
        return tuple(
            Axis(tile, self.overlap, lambda length: round(length * self.scale))
            for tile in (self.height, self.width)
        )


@dataclass(frozen=True)
class Axis:
    """One side of a batch and how it is cut; `made` says how long what is made of a length is.

    `place` says where what is made of a tile begins, where that is not the length before it.
    """

    tile: int
    overlap: int
    made: Callable[[int], int]
    place: Callable[[int], int] | None = None

    def starts(self, length: int) -> Iterator[int]:
        """Yield where tiles begin."""
        if length <= self.tile:
            yield 0
            return
        for start in range(0, length - self.overlap, self.tile - self.overlap):
            yield max(0, min(length - self.overlap, start))

    def begin(self, start: int) -> int:
        """Return where what is made of a tile begins."""
        return (self.place or self.made)(start)


def in_tiles(batch: Array, function: Callable[[Array], Array], tiling: Tiling) -> Array:
    """Return the mean of what `function` makes of the batch in three ways of cutting it."""
    tall, wide, plain = (in_boxes(batch, function, shape.axes) for shape in tiling.shapes())
    return (tall + wide + plain) / 3


def in_boxes(batch: Array, function: Callable[[Array], Array], axes: Sequence[Axis]) -> Array:
    """Return what `function` makes of the batch, one after the other, cut along its last sides."""
    ones = [_one(batch[at : at + 1], function, axes) for at in range(len(batch))]
    return array_namespace(*ones).concat(ones)


def _one(single: Array, function: Callable[[Array], Array], axes: Sequence[Axis]) -> Array:
    sides = single.shape[-len(axes) :]
    if all(side <= axis.tile for side, axis in zip(sides, axes, strict=True)):
        return function(single)
    total: Array = None
    weight: Array = None
    for corner in product(*(axis.starts(side) for side, axis in zip(sides, axes, strict=True))):
        box = (slice(at, at + axis.tile) for at, axis in zip(corner, axes, strict=True))
        made = function(single[(..., *box)])
        if total is None:
            whole = [axis.made(side) for side, axis in zip(sides, axes, strict=True)]
            shape = (*made.shape[: -len(axes)], *whole)
            total = array_namespace(made).zeros(shape, dtype=made.dtype)
            weight = total + 0
        feathered = _feathered(made, [axis.made(axis.overlap) for axis in axes])
        begins = [axis.begin(at) for at, axis in zip(corner, axes, strict=True)]
        lengths = made.shape[-len(axes) :]
        place = (slice(at, at + size) for at, size in zip(begins, lengths, strict=True))
        where = (..., *place)
        total[where] += made * feathered
        weight[where] += feathered
    return total / weight


def _feathered(like: Array, widths: Sequence[int]) -> Array:
    """Return weights that fall towards both ends of the last sides, over these widths."""
    weight = like * 0 + 1
    for at, width in enumerate(widths):
        behind = (slice(None),) * (len(widths) - at - 1)
        length = weight.shape[at - len(widths)]
        if width >= length:
            continue
        for cell in range(width):
            share = (cell + 1) / width
            weight[(..., cell, *behind)] *= share
            weight[(..., length - 1 - cell, *behind)] *= share
    return weight
