"""Networks over pictures too large for them: in tiles whose edges are blended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


def in_tiles(batch: Array, function: Callable[[Array], Array], tiling: Tiling) -> Array:
    """Return the mean of what `function` makes of the batch in three ways of cutting it."""
    tall, wide, plain = (_cut_once(batch, function, shape) for shape in tiling.shapes())
    return (tall + wide + plain) / 3


def _cut_once(batch: Array, function: Callable[[Array], Array], tiling: Tiling) -> Array:
    ones = [_one(batch[at : at + 1], function, tiling) for at in range(len(batch))]
    return array_namespace(*ones).concat(ones)


def _one(single: Array, function: Callable[[Array], Array], tiling: Tiling) -> Array:
    rows, columns = single.shape[-2:]
    if rows <= tiling.height and columns <= tiling.width:
        return function(single)
    total: Array = None
    weight: Array = None
    for row, column in product(
        _starts(rows, tiling.height, tiling.overlap),
        _starts(columns, tiling.width, tiling.overlap),
    ):
        made = function(single[..., row : row + tiling.height, column : column + tiling.width])
        if total is None:
            sides = [round(side * tiling.scale) for side in (rows, columns)]
            total = array_namespace(made).zeros((*made.shape[:-2], *sides), dtype=made.dtype)
            weight = total + 0
        feathered = _feathered(made, round(tiling.overlap * tiling.scale))
        top, left = round(row * tiling.scale), round(column * tiling.scale)
        place = (..., slice(top, top + made.shape[-2]), slice(left, left + made.shape[-1]))
        total[place] += made * feathered
        weight[place] += feathered
    return total / weight


def _starts(length: int, tile: int, overlap: int) -> Iterator[int]:
    if length <= tile:
        yield 0
        return
    for start in range(0, length - overlap, tile - overlap):
        yield max(0, min(length - overlap, start))


def _feathered(like: Array, width: int) -> Array:
    """Return weights that fall towards all four edges."""
    weight = like * 0 + 1
    rows, columns = weight.shape[-2:]
    for cell in range(width):
        share = (cell + 1) / width
        if width < rows:
            weight[..., cell, :] *= share
            weight[..., rows - 1 - cell, :] *= share
        if width < columns:
            weight[..., cell] *= share
            weight[..., columns - 1 - cell] *= share
    return weight
