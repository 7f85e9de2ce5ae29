"""Depth maps: how near everything is, white in front (MiDaS 3.0 and ZoeDepth)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers.utils import logging as transformers_logging

from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.preprocess.canvas import Bytes
from libs.diffusion.preprocess.depth_layouts import MIDAS, DepthLayout, depth_layout, require_whole

GREY = 0.5
# ZoeDepth sees pictures of about this height and width, in whole steps, with a mirrored frame.
ZOE_WIDER = 4 / 3
STEP_PIXELS = 32
FRAME = 3
# What is nearer or farther than so many percent of the pixels is cut off.
NEAREST_PERCENT, FARTHEST_PERCENT = 2, 85
FLAT = 1e-6


class DepthNetwork(torch.nn.Module):
    """A depth network with the way its pictures are prepared."""

    def __init__(self, layout: DepthLayout, network: Any) -> None:
        super().__init__()
        self.layout = layout
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Return how near [3, height, width] is, 0 to 1, as [height, width]."""
        if self.layout.kind == MIDAS:
            return _stretched(self._midas(pixels[None]))
        return self._zoe(pixels[None])

    def _midas(self, pixels: Tensor) -> Tensor:
        side = self.layout.side_pixels
        squared = functional.interpolate(pixels, (side, side), mode="bicubic", antialias=True)
        near = self.network(pixel_values=squared * 2 - 1).predicted_depth
        return functional.interpolate(near[:, None], pixels.shape[-2:], mode="bicubic")[0, 0]

    def _zoe(self, pixels: Tensor) -> Tensor:
        size = pixels.shape[-2:]
        rows, columns = (_frame(side) for side in size)
        framed = functional.pad(pixels, [columns, columns, rows, rows], mode="reflect")
        seen = zoe_size(framed.shape[-2], framed.shape[-1], self.layout.side_pixels)
        small = functional.interpolate(framed, seen, mode="bilinear", align_corners=True)
        metres = self.network(pixel_values=small * 2 - 1).predicted_depth[:, None]
        large = functional.interpolate(metres, framed.shape[-2:], mode="bicubic")[0, 0]
        depth = large[rows : rows + size[0], columns : columns + size[1]]
        near, far = (
            float(np.percentile(depth.cpu().numpy(), percent))
            for percent in (NEAREST_PERCENT, FARTHEST_PERCENT)
        )
        return 1.0 - ((depth - near) / max(far - near, FLAT)).clamp(0, 1)


def read_depth_network(file: WeightsFile) -> DepthNetwork:
    """Return the network in a file, in float32; raise Refused if it is of another kind."""
    layout = depth_layout(file)
    transformers_logging.disable_progress_bar()
    # Files of other ages name some tensors differently; transformers knows all of these names.
    network, info = layout.network.from_pretrained(
        None,
        config=layout.config,
        state_dict=file.read_under("", torch.float32),
        output_loading_info=True,
        dtype=torch.float32,
    )
    require_whole(info, file.path.name)
    return DepthNetwork(layout, network).eval().requires_grad_(False)


def zoe_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Return the size that ZoeDepth sees: the smaller change of both, in steps of 32 pixels."""
    by_height, by_width = side / height, side * ZOE_WIDER / width
    factor = by_width if abs(1 - by_width) < abs(1 - by_height) else by_height
    rows, columns = (
        max(STEP_PIXELS, round(length * factor / STEP_PIXELS) * STEP_PIXELS)
        for length in (height, width)
    )
    return rows, columns


def as_bytes(near: Tensor) -> Bytes:
    """Return depths [height, width], 0 to 1, as bytes."""
    found: Bytes = (near.clamp(0, 1) * 255.0).to(torch.uint8).cpu().numpy()
    return found


def _stretched(near: Tensor) -> Tensor:
    low, high = near.min(), near.max()
    return (near - low) / (high - low).clamp_min(FLAT)


def _frame(side: int) -> int:
    """Return how wide a frame is: it takes the artefacts that networks make at borders."""
    return min(side - 1, int(math.sqrt(side / 2) * FRAME))
