"""Work on a picture in tiles that overlap and fade into each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Final

import torch
from torch import Tensor

OVERLAP_PIXELS: Final = 32


def places(length: int, tile: int, overlap: int) -> list[slice]:
    """Return the spans of the tiles along one side; one if it is short enough."""
    if length <= tile:
        return [slice(0, length)]
    starts = range(0, length - overlap, tile - overlap)
    return [slice(start, min(start + tile, length)) for start in starts]


def tiles(height: int, width: int, tile: int) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns of every tile."""
    return product(places(height, tile, OVERLAP_PIXELS), places(width, tile, OVERLAP_PIXELS))


def feathered(
    picture: Tensor, work: Callable[[Tensor], Tensor], *, tile: int, factor: int
) -> Tensor:
    """Return `work` of [1, channels, height, width], tile by tile, `factor` times as large."""
    height, width = picture.shape[-2:]
    spans = list(tiles(height, width, tile))
    if len(spans) == 1:
        return work(picture)
    total = torch.zeros(1, picture.shape[1], height * factor, width * factor)
    weights = torch.zeros(1, 1, height * factor, width * factor)
    for rows, columns in spans:
        drawn = work(picture[..., rows, columns])
        weight = _ramp(drawn.shape[-2], factor)[:, None] * _ramp(drawn.shape[-1], factor)
        place = (..., _times(rows, factor), _times(columns, factor))
        total[place] += drawn * weight
        weights[place] += weight
    return total / weights


def _ramp(length: int, factor: int) -> Tensor:
    """Return weights that rise at one end and fall at the other, over the overlap."""
    fade = OVERLAP_PIXELS * factor
    if fade >= length:
        return torch.ones(length)
    rising = ((torch.arange(length) + 1.0) / fade).clamp(max=1.0)
    return rising * rising.flip(0)


def _times(span: slice, factor: int) -> slice:
    return slice(span.start * factor, span.stop * factor)
