"""Arithmetic on batches of latents: put together, taken apart, blended, cut and turned."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from libs.diffusion.scaling import scale

CELLS_MIN = 8


def fitted(samples: Tensor, like: Tensor) -> Tensor:
    """Return latents in the size of others, from their middle; their number stays."""
    if samples.shape[1:] == like.shape[1:]:
        return samples
    return resized(samples, "bilinear", (like.shape[-2], like.shape[-1]), "center")


def resized(samples: Tensor, method: str, size: tuple[int, int], crop: str) -> Tensor:
    """Return latents at another size in cells, those of videos frame by frame."""
    if samples.ndim == 4:
        return scale(samples, method, size, crop)
    frames = samples.movedim(2, 1)
    scaled = scale(frames.flatten(0, 1), method, size, crop)
    return scaled.reshape(*frames.shape[:3], *scaled.shape[-2:]).movedim(1, 2)


def as_many_as(samples: Tensor, like: Tensor) -> Tensor:
    """Return latents again and again until there are as many as of others."""
    count = like.shape[0]
    times = -(-count // samples.shape[0])
    return samples.repeat(times, *(1,) * (samples.ndim - 1))[:count]


def interpolated(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Blend directions and lengths across the channels apart."""
    lengths = [torch.linalg.vector_norm(one, dim=1, keepdim=True) for one in (first, second)]
    units = [
        torch.nan_to_num(one / long) for one, long in zip((first, second), lengths, strict=True)
    ]
    mixed = units[0] * share + units[1] * (1.0 - share)
    direction = torch.nan_to_num(mixed / torch.linalg.vector_norm(mixed, dim=1, keepdim=True))
    blended: Tensor = direction * (lengths[0] * share + lengths[1] * (1.0 - share))
    return blended


def composed(onto: Tensor, source: Tensor, x: int, y: int, feather: int) -> Tensor:
    """Lay latents over others, with edges that are inside softened over `feather` cells."""
    out = onto.clone()
    rows, columns = onto.shape[-2:]
    part = source[..., : max(0, rows - y), : max(0, columns - x)]
    high, wide = part.shape[-2:]
    size = (source.shape[-2], source.shape[-1])
    weight = _softened(part, (x, y), (rows, columns), size, feather)
    place = out[..., y : y + high, x : x + wide]
    place.copy_(part * weight + place * (1.0 - weight))
    return out


def _softened(
    part: Tensor,
    at: tuple[int, int],
    inside: tuple[int, int],
    size: tuple[int, int],
    feather: int,
) -> Tensor:
    """Return how much each cell of `part` counts: less towards edges that lie inside."""
    (x, y), (rows, columns) = at, inside
    high, wide = part.shape[-2:]
    weight = torch.ones_like(part)
    for cell in range(feather):
        share = (cell + 1) / feather
        if y and cell < high:
            weight[..., cell, :] *= share
        if y + size[0] < rows and cell < high:
            weight[..., high - 1 - cell, :] *= share
        if x and cell < wide:
            weight[..., cell] *= share
        if x + size[1] < columns and cell < wide:
            weight[..., wide - 1 - cell] *= share
    return weight


def pasted(
    onto: Tensor, source: Tensor, x: int, y: int, mask: Tensor | None, *, resize: bool
) -> Tensor:
    """Put latents into others where a mask [count, height, width] lets them through.

    `x` and `y` are in cells, and cut so that something of both remains.
    """
    rows, columns = onto.shape[-2:]
    if resize:
        source = resized(source, "bilinear", (rows, columns), "disabled")
    source = as_many_as(source, onto)
    high, wide = source.shape[-2:]
    x, y = max(-wide, min(x, columns)), max(-high, min(y, rows))
    shown = torch.ones_like(source)
    if mask is not None:
        cells = mask.reshape(-1, 1, *mask.shape[-2:])
        cells = functional.interpolate(cells, size=(high, wide), mode="bilinear")
        shown = as_many_as(cells if source.ndim == 4 else cells[:, :, None], source)
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + high, rows), min(x + wide, columns)
    out = onto.clone()
    if bottom <= top or right <= left:
        return out
    cut = (..., slice(top - y, bottom - y), slice(left - x, right - x))
    place = out[..., top:bottom, left:right]
    place.copy_(source[cut] * shown[cut] + place * (1.0 - shown[cut]))
    return out


def cropped(samples: Tensor, width: int, height: int, x: int, y: int) -> Tensor:
    """Cut a rectangle, in cells, that starts where at least eight of a side remain."""
    rows, columns = samples.shape[-2:]
    x, y = max(0, min(x, columns - CELLS_MIN)), max(0, min(y, rows - CELLS_MIN))
    return samples[..., y : y + height, x : x + width]


def turned(samples: Tensor, quarters: int) -> Tensor:
    """Turn latents clockwise by quarters."""
    return torch.rot90(samples, k=quarters, dims=(-1, -2))
