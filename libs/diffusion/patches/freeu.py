"""FreeU: what comes up through a UNet counts more, what comes across loses its rough parts.

Si et al. (2023). The first version scales half of the channels that come up by a number, the
second by a map of how much happens where.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from libs.core.errors import Refused

# The block of frequencies that are the rough parts, around the mean.
ROUGH: Final = 1


@dataclass(frozen=True)
class FreeU:
    """Scales of both paths: `b1`, `s1` for four times the lowest width, `b2`, `s2` for two."""

    b1: float
    b2: float
    s1: float
    s2: float
    mapped: bool

    @property
    def key(self) -> Hashable:
        """What tells it from others."""
        return ("freeu", self.b1, self.b2, self.s1, self.s2, self.mapped)

    @contextmanager
    def inject(self, network: nn.Module) -> Iterator[None]:
        """Change what the resnets on the way up are given; leaving restores them."""
        unet: Any = network
        if not hasattr(unet, "up_blocks") or not hasattr(unet, "conv_in"):
            raise Refused("FreeU changes UNets alone", network=type(network).__name__)
        width = unet.conv_in.out_channels
        scales = {4 * width: (self.b1, self.s1), 2 * width: (self.b2, self.s2)}
        hooks = [
            resnet.register_forward_pre_hook(_Hook(coming_up, scales[coming_up], self.mapped))
            for resnet, coming_up in _joins(unet)
            if coming_up in scales
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _joins(unet: Any) -> Iterator[tuple[nn.Module, int]]:
    """Yield each resnet that joins both paths, and how many of its channels come up."""
    coming_up = unet.mid_block.resnets[-1].out_channels
    for block in unet.up_blocks:
        for resnet in block.resnets:
            yield resnet, coming_up
            coming_up = resnet.out_channels


@dataclass(frozen=True)
class _Hook:
    coming_up: int
    scale: tuple[float, float]
    mapped: bool

    def __call__(self, _resnet: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        joined, *others = inputs
        up, across = joined[:, : self.coming_up], joined[:, self.coming_up :]
        strength, rough = self.scale
        half = self.coming_up // 2
        if self.mapped:
            factor = (strength - 1) * _activity(up) + 1
        else:
            factor = torch.tensor(strength, dtype=up.dtype, device=up.device)
        up = torch.cat([up[:, :half] * factor, up[:, half:]], 1)
        return (torch.cat([up, _smoother(across, rough)], 1), *others)


def _activity(up: Tensor) -> Tensor:
    """Return [count, 1, rows, columns], 0 where least happens and 1 where most does."""
    mean = up.mean(1, keepdim=True)
    low, high = (edge(mean, dim=(2, 3), keepdim=True) for edge in (torch.amin, torch.amax))
    return (mean - low) / (high - low)


def _smoother(across: Tensor, scale: float) -> Tensor:
    """Scale the lowest frequencies."""
    spectrum = torch.fft.fftshift(torch.fft.fftn(across.float(), dim=(-2, -1)), dim=(-2, -1))
    row, column = (side // 2 for side in across.shape[-2:])
    spectrum[..., row - ROUGH : row + ROUGH, column - ROUGH : column + ROUGH] *= scale
    back = torch.fft.ifftshift(spectrum, dim=(-2, -1))
    smooth: Tensor = torch.fft.ifftn(back, dim=(-2, -1)).real.to(across.dtype)
    return smooth
