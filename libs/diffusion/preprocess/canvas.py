"""The sizes and bytes that preprocessors work on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from libs.diffusion.upscale import OnStep
from libs.diffusion.values import Picture

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]


def at_resolution(picture: Picture, resolution: int) -> Picture:
    """Return the pictures with a shorter side of `resolution` pixels, the proportions kept."""
    shorter = min(picture.height, picture.width)
    if shorter == resolution:
        return picture
    height, width = (
        max(1, round(side * resolution / shorter)) for side in (picture.height, picture.width)
    )
    method = "area" if resolution < shorter else "bicubic"
    scaled = picture.scaled(method, width, height, "disabled")
    return Picture(scaled.pixels.clamp(0, 1))


def drawn(picture: Picture, draw: Callable[[Bytes], Bytes], on_step: OnStep) -> Picture:
    """Return what `draw` makes of each picture's bytes, grey or in colours."""
    return stacked((draw(frame) for frame in picture.frames()), picture.count, on_step)


def stacked(frames: Iterable[Bytes], count: int, on_step: OnStep) -> Picture:
    """Return frames as pictures, telling of each one that is done."""
    done: list[Tensor] = []
    for frame in frames:
        pixels = torch.from_numpy(np.ascontiguousarray(frame)).to(torch.float32) / 255.0
        done.append(pixels if pixels.ndim == 3 else pixels[..., None].expand(-1, -1, 3))
        on_step(len(done), count)
    return Picture(torch.stack(done))
