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
    count, channels, rows, columns = pixels.shape
    spread = pixels.new_zeros(count, channels, rows * 2, columns * 2)
    spread[..., ::2, ::2] = pixels
    # The frame repeats what a mirror on the first and last pixel would show.
    mode = "reflect" if min(rows, columns) > 1 else "replicate"
    framed = functional.pad(spread, [2] * 4, mode=mode)
    flat = framed.reshape(count * channels, 1, *framed.shape[-2:])
    bell = (row[:, None] * row[None])[None, None]
    return functional.conv2d(flat, bell).reshape(count, channels, rows * 2, columns * 2)
