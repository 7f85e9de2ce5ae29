"""Laying pictures over each other: with a mask, by a blend mode, by Porter and Duff's rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.arranging import like_channels, repeated_to, resized

ALPHA_MIN: Final = 1e-5


def pasted(
    destination: Tensor,
    source: Tensor,
    x: int,
    y: int,
    mask: Tensor | None,
    *,
    resize: bool = False,
    cell: int = 1,
) -> Tensor:
    """Lay `source` over a copy of `destination`, both [count, channels, height, width].

    `x` and `y` count in pixels, of which a place of the tensors holds `cell` each way. Where the
    mask [count, height, width] is 1 the source is seen; it is stretched over the whole source.
    """
    output = destination.clone()
    if resize:
        source = functional.interpolate(source, size=output.shape[-2:], mode="bilinear")
    source = repeated_to(source, output.shape[0])
    x = max(-source.shape[-1] * cell, min(x, output.shape[-1] * cell))
    y = max(-source.shape[-2] * cell, min(y, output.shape[-2] * cell))
    left, top = x // cell, y // cell
    if mask is None:
        share = torch.ones_like(source)
    else:
        share = functional.interpolate(
            mask.reshape(-1, 1, *mask.shape[-2:]), size=source.shape[-2:], mode="bilinear"
        )
        share = repeated_to(share, source.shape[0])
    # What lies left of the destination or above it is not seen.
    source = source[..., max(0, -top) :, max(0, -left) :]
    share = share[..., max(0, -top) :, max(0, -left) :]
    place = output[..., max(0, top) :, max(0, left) :]
    place = place[..., : source.shape[-2], : source.shape[-1]]
    source = source[..., : place.shape[-2], : place.shape[-1]]
    share = share[..., : place.shape[-2], : place.shape[-1]]
    place.copy_(share * source + (1.0 - share) * place)
    return output


def blended(first: Tensor, second: Tensor, mode: str, factor: float) -> Tensor:
    """Mix two batches of pictures, the channels last."""
    first, second = as_first(first, second)
    if first.shape[1:] != second.shape[1:]:
        second = resized(second, "bicubic", first.shape[1], first.shape[2], "center")
    count = max(first.shape[0], second.shape[0])
    first, second = repeated_to(first, count), repeated_to(second, count)
    mixed = BLENDS[mode](first, second)
    return (first * (1 - factor) + mixed * factor).clamp(0, 1)


def as_first(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Give the second the channels of the first: cut off, or opaque."""
    if second.shape[-1] > first.shape[-1]:
        return first, second[..., : first.shape[-1]]
    return like_channels(first, second)


def _overlay(one: Tensor, two: Tensor) -> Tensor:
    return torch.where(one <= 0.5, 2 * one * two, 1 - 2 * (1 - one) * (1 - two))


def _soft_light(one: Tensor, two: Tensor) -> Tensor:
    lifted = torch.where(one <= 0.25, ((16 * one - 12) * one + 4) * one, one.sqrt())
    darker = one - (1 - 2 * two) * one * (1 - one)
    return torch.where(two <= 0.5, darker, one + (2 * two - 1) * (lifted - one))


BLENDS: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "normal": lambda one, two: two,  # noqa: ARG005
    "multiply": lambda one, two: one * two,
    "screen": lambda one, two: 1 - (1 - one) * (1 - two),
    "overlay": _overlay,
    "soft_light": _soft_light,
    "difference": lambda one, two: one - two,
}


class Layer(NamedTuple):
    """A picture whose colours are multiplied by its alpha, channels last."""

    colour: Tensor
    alpha: Tensor


def _darken(s: Layer, d: Layer) -> Layer:
    colour = (1 - d.alpha) * s.colour + (1 - s.alpha) * d.colour
    return Layer(colour + torch.minimum(s.colour, d.colour), _union(s, d))


def _lighten(s: Layer, d: Layer) -> Layer:
    colour = (1 - d.alpha) * s.colour + (1 - s.alpha) * d.colour
    return Layer(colour + torch.maximum(s.colour, d.colour), _union(s, d))


def _overlay_layers(s: Layer, d: Layer) -> Layer:
    bright = s.alpha * d.alpha - 2 * (d.alpha - s.colour) * (s.alpha - d.colour)
    dark = 2 * s.colour * d.colour
    return Layer(torch.where(2 * d.colour < d.alpha, dark, bright), _union(s, d))


def _union(s: Layer, d: Layer) -> Tensor:
    return s.alpha + d.alpha - s.alpha * d.alpha


def _weighed(s_share: str, d_share: str) -> Callable[[Layer, Layer], Layer]:
    """Return the rule that adds the layers, each weighed by one of four shares."""

    def rule(s: Layer, d: Layer) -> Layer:
        mine, yours = _share(s_share, d.alpha), _share(d_share, s.alpha)
        return Layer(mine * s.colour + yours * d.colour, mine * s.alpha + yours * d.alpha)

    return rule


def _share(name: str, other: Tensor) -> Tensor:
    match name:
        case "all":
            return torch.ones_like(other)
        case "inside":
            return other
        case "outside":
            return 1 - other
    return torch.zeros_like(other)


PORTER_DUFF: Final[dict[str, Callable[[Layer, Layer], Layer]]] = {
    "ADD": lambda s, d: Layer((s.colour + d.colour).clamp(0, 1), (s.alpha + d.alpha).clamp(0, 1)),
    "CLEAR": _weighed("none", "none"),
    "DARKEN": _darken,
    "DST": _weighed("none", "all"),
    "DST_ATOP": _weighed("outside", "inside"),
    "DST_IN": _weighed("none", "inside"),
    "DST_OUT": _weighed("none", "outside"),
    "DST_OVER": _weighed("outside", "all"),
    "LIGHTEN": _lighten,
    "MULTIPLY": lambda s, d: Layer(s.colour * d.colour, s.alpha * d.alpha),
    "OVERLAY": _overlay_layers,
    "SCREEN": lambda s, d: Layer(s.colour + d.colour - s.colour * d.colour, _union(s, d)),
    "SRC": _weighed("all", "none"),
    "SRC_ATOP": _weighed("inside", "outside"),
    "SRC_IN": _weighed("inside", "none"),
    "SRC_OUT": _weighed("outside", "none"),
    "SRC_OVER": _weighed("all", "outside"),
    "XOR": _weighed("outside", "outside"),
}


def porter_duff(
    source: Tensor, source_mask: Tensor, destination: Tensor, destination_mask: Tensor, mode: str
) -> tuple[Tensor, Tensor]:
    """Return pictures and masks (1 is transparent) laid over each other, as many as all have."""
    if source.shape[-1] != destination.shape[-1]:
        raise Refused("both pictures need the same channels", field="source")
    count = min(map(len, (source, source_mask, destination, destination_mask)))
    height, width = destination.shape[1:3]

    def fitted(batch: Tensor) -> Tensor:
        batch = batch[:count]
        if batch.shape[1:3] == (height, width):
            return batch
        return resized(batch, "bicubic", height, width, "center")

    s_alpha, d_alpha = 1 - fitted(source_mask[..., None]), 1 - fitted(destination_mask[..., None])
    above = Layer(fitted(source) * s_alpha, s_alpha)
    below = Layer(destination[:count] * d_alpha, d_alpha)
    colour, alpha = PORTER_DUFF[mode](above, below)
    seen = torch.where(alpha > ALPHA_MIN, colour / alpha, torch.zeros_like(colour))
    return seen.clamp(0, 1), 1 - alpha[..., 0]


def with_alpha(pictures: Tensor, mask: Tensor) -> Tensor:
    """Return pictures of four channels, transparent where the mask is 1."""
    count = max(pictures.shape[0], mask.shape[0])
    fitted = functional.interpolate(
        mask.reshape(-1, 1, *mask.shape[-2:]), size=pictures.shape[1:3], mode="bilinear"
    )
    alpha = repeated_to(1.0 - fitted.movedim(1, -1), count)
    return torch.cat((repeated_to(pictures, count)[..., :3], alpha), dim=-1)
