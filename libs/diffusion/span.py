"""SPAN (Wan et al. 2023): an upscaler whose attention is what its blocks have learned themselves.

Files hold three convolutions and a shortcut for each one that is computed; they are joined when
the network is read, as its authors do it for use.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from libs.diffusion.loader.build import build

MARK: Final = "block_1.c1_r."
BLOCKS: Final = 6
CONVOLUTIONS: Final = ("c1_r", "c2_r", "c3_r")
# The mean colour of the pictures that it was trained on, and the range of their numbers.
MEAN: Final = (0.4488, 0.4371, 0.4040)
RANGE: Final = 255.0
# In files of networks that take pictures as they are.
UNLEVELLED: Final = "no_norm"
# The first and the last convolution, three in each block, and the one before the last.
REACH: Final = 3 * BLOCKS + 3


class SpanBlock(nn.Module):
    """Three convolutions; how far their end is from the middle says how much of it counts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c1_r, self.c2_r, self.c3_r = (nn.Conv2d(width, width, 3, padding=1) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the block makes, and what its first convolution saw."""
        first: Tensor = self.c1_r(x)
        end = self.c3_r(functional.silu(self.c2_r(functional.silu(first))))
        return (end + x) * (torch.sigmoid(end) - 0.5), first


class SpanNetwork(nn.Module):
    """Six blocks, of which some are seen again at the end."""

    reach = REACH

    def __init__(self, width: int, channels: int, factor: int, *, levelled: bool) -> None:
        super().__init__()
        self.factor, self.levelled = factor, levelled
        self.conv_1 = nn.Conv2d(channels, width, 3, padding=1)
        for number in range(1, BLOCKS + 1):
            self.add_module(f"block_{number}", SpanBlock(width))
        self.conv_2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_cat = nn.Conv2d(4 * width, width, 1)
        self.upsampler = nn.ModuleList([nn.Conv2d(width, channels * factor**2, 3, padding=1)])

    def forward(self, pixels: Tensor) -> Tensor:
        """Return [count, channels, height, width] times the factor."""
        if self.levelled:
            pixels = (pixels - pixels.new_tensor(MEAN)[:, None, None]) * RANGE
        begun = x = self.conv_1(pixels)
        ends, first = [], x
        for number in range(1, BLOCKS + 1):
            x, first = self.get_submodule(f"block_{number}")(x)
            ends.append(x)
        seen = torch.cat([begun, self.conv_2(x), ends[0], first], 1)
        return functional.pixel_shuffle(self.upsampler[0](self.conv_cat(seen)), self.factor)


def is_span(tensors: Mapping[str, Tensor]) -> bool:
    """Say whether these are a SPAN's tensors."""
    return any(name.startswith(MARK) for name in tensors) and "conv_cat.weight" in tensors


def build_span(tensors: Mapping[str, Tensor]) -> SpanNetwork:
    """Build the network from its tensors; raise Refused if they do not fit."""
    joined = _joined(tensors)
    width, channels = joined["conv_1.weight"].shape[:2]
    factor = math.isqrt(joined["upsampler.0.weight"].shape[0] // channels)
    levelled = UNLEVELLED not in tensors
    return build(lambda: SpanNetwork(width, channels, factor, levelled=levelled), joined)


def _joined(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the convolutions that are computed."""
    places = [f"block_{n}.{part}" for n in range(1, BLOCKS + 1) for part in CONVOLUTIONS]
    inner = (UNLEVELLED, "conv_1.", "conv_2.", *(f"{place}." for place in places))
    found = {name: tensor for name, tensor in tensors.items() if not name.startswith(inner)}
    for place in ("conv_1", "conv_2", *places):
        found |= _convolution(place, tensors)
    return found


def _convolution(place: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return one convolution of three by three, of a wide one between two of one pixel."""
    before, middle, after = (f"{place}.conv.{at}" for at in range(3))
    if f"{before}.weight" not in tensors:
        names = ((leaf, f"{place}.eval_conv.{leaf}") for leaf in ("weight", "bias"))
        return {f"{place}.{leaf}": tensors[name] for leaf, name in names if name in tensors}
    narrow, wide = tensors[f"{before}.weight"][..., 0, 0], tensors[f"{middle}.weight"]
    last = tensors[f"{after}.weight"][..., 0, 0]
    weight = torch.einsum("om,mnyx,ni->oiyx", last, wide, narrow)
    carried = wide.sum((2, 3)) @ tensors[f"{before}.bias"] + tensors[f"{middle}.bias"]
    bias = last @ carried + tensors[f"{after}.bias"]
    # The shortcut is a convolution of one pixel: it is added in the middle.
    weight = weight + functional.pad(tensors[f"{place}.sk.weight"], (1, 1, 1, 1))
    return {f"{place}.weight": weight, f"{place}.bias": bias + tensors[f"{place}.sk.bias"]}
