"""Canny's edge detection, in the two readings that the field knows.

`canny` works on bytes with whole numbers, as OpenCV does; `canny_graded` on numbers from 0 to 1
with a Gaussian before it, as Kornia does. Both were compared with these libraries' own output.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from libs.diffusion.preprocess.canvas import Bytes

# The tangent of 22.5 degrees as a fraction of 2 ** 15, in whole numbers.
TANGENT = 13573
SHIFT = 15
NEIGHBOURS = np.ones((3, 3), bool)
GREY_WEIGHTS = (0.299, 0.587, 0.114)
EIGHTH = 45.0
# The eight neighbours by angle, from the right and clockwise, as rows and columns.
AROUND = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
Whole = NDArray[np.int64]


def canny(frame: Bytes, low: int, high: int) -> Bytes:
    """Return white edges of a picture [height, width, 3]; thresholds are of |dx| + |dy|."""
    low, high = min(low, high), max(low, high)
    across, down = _steepest(frame)
    strength = abs(across) + abs(down)
    kept = _ridges(strength, across, down) & (strength > low)
    return _connected(kept, kept & (strength > high)).astype(np.uint8) * 255


def canny_graded(pixels: Tensor, low: float, high: float) -> Tensor:
    """Return edges of [count, height, width, 3] as [count, height, width], 0 or 1."""
    grey = (pixels * pixels.new_tensor(GREY_WEIGHTS)).sum(-1)[:, None]
    gradient = functional.conv2d(_framed(_blurred(grey), 1, "replicate"), _sobel(pixels))
    strength = (gradient.square().sum(1) + 1e-6).sqrt()
    angle = torch.atan2(gradient[:, 1], gradient[:, 0]).rad2deg()
    eighth = (angle / EIGHTH).round().long() % 8
    kept = (strength * _is_ridge(strength, eighth)).numpy()
    edges = [_connected(one > low, one > high) for one in kept]
    return torch.from_numpy(np.stack(edges)).to(torch.float32)


def _steepest(frame: Bytes) -> tuple[Whole, Whole]:
    """Return the gradient of the channel that changes most at each pixel."""
    planes = frame.astype(np.int64)
    across = ndimage.correlate1d(planes, [-1, 0, 1], 1, mode="nearest")
    across = ndimage.correlate1d(across, [1, 2, 1], 0, mode="nearest")
    down = ndimage.correlate1d(planes, [-1, 0, 1], 0, mode="nearest")
    down = ndimage.correlate1d(down, [1, 2, 1], 1, mode="nearest")
    chosen = (abs(across) + abs(down)).argmax(-1)[..., None]
    return (
        np.take_along_axis(across, chosen, -1)[..., 0],
        np.take_along_axis(down, chosen, -1)[..., 0],
    )


def _ridges(strength: Whole, across: Whole, down: Whole) -> NDArray[np.bool_]:
    """Say which pixels are stronger than both neighbours in the direction of the gradient."""
    wide, tall = abs(across), abs(down) << SHIFT
    flat = tall < wide * TANGENT
    steep = tall > wide * TANGENT + (wide << (SHIFT + 1))
    here, padded = strength, np.pad(strength, 1)

    def at(row: int, column: int) -> Whole:
        rows, columns = here.shape
        return padded[1 + row : 1 + row + rows, 1 + column : 1 + column + columns]

    falling = (across ^ down) < 0
    before = np.where(falling, at(-1, 1), at(-1, -1))
    behind = np.where(falling, at(1, -1), at(1, 1))
    slanted = (here > before) & (here > behind)
    level = (here > at(0, -1)) & (here >= at(0, 1))
    upright = (here > at(-1, 0)) & (here >= at(1, 0))
    return np.where(flat, level, np.where(steep, upright, slanted))


def _connected(weak: NDArray[np.bool_], strong: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the weak pixels that hang together with a strong one."""
    labels, count = ndimage.label(weak, NEIGHBOURS)
    holds = np.zeros(count + 1, bool)
    holds[np.unique(labels[strong & weak])] = True
    holds[0] = False
    connected: NDArray[np.bool_] = holds[labels]
    return connected


def _blurred(grey: Tensor) -> Tensor:
    steps = torch.arange(-2, 3, dtype=torch.float32)
    bell = torch.exp(-(steps**2) / 2.0)
    bell = bell / bell.sum()
    framed = _framed(grey, 2, "reflect")
    return functional.conv2d(
        functional.conv2d(framed, bell[None, None, None]), bell[None, None, :, None]
    )


def _framed(planes: Tensor, pixels: int, mode: str) -> Tensor:
    """Return the planes with a frame; one that is too small to be reflected is repeated."""
    if min(planes.shape[-2:]) <= pixels:
        mode = "replicate"
    return functional.pad(planes, [pixels] * 4, mode=mode)


def _sobel(like: Tensor) -> Tensor:
    across = like.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    return torch.stack([across, across.T])[:, None]


def _is_ridge(strength: Tensor, eighth: Tensor) -> Tensor:
    padded = functional.pad(strength, [1] * 4)
    rows, columns = strength.shape[-2:]
    higher = torch.stack(
        [
            strength > padded[:, 1 + row : 1 + row + rows, 1 + column : 1 + column + columns]
            for row, column in AROUND
        ]
    )
    ahead = higher.gather(0, eighth[None])[0]
    return ahead & higher.gather(0, (eighth[None] + 4) % 8)[0]
