"""Pictures with less in them: without detail for tiles, with a hole for inpainting."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from libs.diffusion.values import Mask, Picture

# What inpainting ControlNets were shown where something is missing; a picture of zeros is black.
MISSING = -1.0
MASKED_MIN = 0.5


def coarse(picture: Picture, halvings: int) -> Picture:
    """Return the pictures halved `halvings` times and smoothly doubled back to their size."""
    pixels = picture.pixels.movedim(-1, 1)
    size = (picture.height, picture.width)
    small = [max(1, side >> halvings) for side in size]
    pixels = functional.interpolate(pixels, small, mode="area")
    for _ in range(halvings):
        pixels = _doubled(pixels)
    if tuple(pixels.shape[-2:]) != size:
        pixels = functional.interpolate(pixels, size, mode="bilinear")
    return Picture(pixels.clamp(0, 1).movedim(1, -1))


def holed(picture: Picture, mask: Mask, *, black: bool) -> Picture:
    """Return the pictures with the masked pixels at -1, or at 0 for networks that want black."""
    size = (picture.height, picture.width)
    values = functional.interpolate(mask.values[:, None], size, mode="bilinear")
    hole = (values > MASKED_MIN).movedim(1, -1)
    if hole.shape[0] not in (1, picture.count):
        hole = hole[torch.arange(picture.count) % hole.shape[0]]
    return Picture(picture.pixels.masked_fill(hole, 0.0 if black else MISSING))


def _doubled(pixels: Tensor) -> Tensor:
    """Return pictures at twice their size, by zeros in between and a 5 x 5 bell."""
    row = pixels.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 8.0
    mode = "reflect" if min(pixels.shape[-2:]) > 1 else "replicate"
    framed = functional.pad(pixels, [1] * 4, mode=mode)
    count, channels, rows, columns = framed.shape
    spread = framed.new_zeros(count * channels, 1, rows * 2, columns * 2)
    spread[..., ::2, ::2] = framed.reshape(count * channels, 1, rows, columns)
    made = functional.conv2d(spread, (row[:, None] * row[None])[None, None])
    return made.reshape(count, channels, *made.shape[-2:])
