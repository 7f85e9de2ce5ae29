"""Soft edges by a network (holistically-nested edge detection, Xie and Tu 2015)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.loader.build import build
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.preprocess.canvas import Bytes

# Channels in, channels out, convolutions.
BLOCKS = ((3, 64, 2), (64, 128, 2), (128, 256, 3), (256, 512, 3), (512, 512, 3))
# Of the pictures the network was trained on; its channels are blue, green, red.
MEAN = (104.00699, 116.66877, 122.67892)
SCALE = ".scale"
SAFE_STEPS = 2


class EdgeNetwork(nn.Module):
    """Five blocks of convolutions; each says where it sees edges, and all are weighed together."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                nn.Conv2d(out if number else given, out, 3, padding=1) for number in range(count)
            )
            for given, out, count in BLOCKS
        )
        self.sides = nn.ModuleList(nn.Conv2d(out, 1, 1) for _, out, _ in BLOCKS)
        self.fuse = nn.Conv2d(len(BLOCKS), 1, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the edges of [count, 3, height, width] from 0 to 1, as [count, height, width]."""
        hidden = pixels.flip(1) * 255.0 - pixels.new_tensor(MEAN)[:, None, None]
        seen: list[Tensor] = []
        for block, side in zip(self.blocks, self.sides, strict=True):
            if seen:
                hidden = functional.max_pool2d(hidden, 2, 2, ceil_mode=True)
            assert isinstance(block, nn.ModuleList)  # noqa: S101  Lists of modules forget their types.
            for convolution in block:
                hidden = functional.relu(convolution(hidden))
            size = pixels.shape[-2:]
            seen.append(functional.interpolate(side(hidden), size, mode="bilinear"))
        edges: Tensor = self.fuse(torch.cat(seen, 1))
        return edges.sigmoid()[:, 0]


def read_edge_network(file: WeightsFile) -> EdgeNetwork:
    """Return the network in a file; raise Refused if it is of another kind."""
    return build(EdgeNetwork, widened(file.read_under("", torch.float32)))


def widened(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with whole numbers multiplied by their scales, one a group of each row."""
    return {
        name: _times(tensor, tensors[name + SCALE]) if name + SCALE in tensors else tensor
        for name, tensor in tensors.items()
        if not name.endswith(SCALE)
    }


def stepped(edges: Tensor) -> Tensor:
    """Return edges in a few levels, which hide how the network hesitates."""
    return ((edges * (SAFE_STEPS + 1)).floor() / SAFE_STEPS).clamp(0, 1)


def as_bytes(edges: Tensor) -> Bytes:
    """Return edges [height, width] as bytes."""
    return (edges * 255.0).clamp(0, 255).to(torch.uint8).numpy().astype(np.uint8, copy=False)


def _times(whole: Tensor, scale: Tensor) -> Tensor:
    if whole.shape[0] != scale.shape[0] or whole[0].numel() % scale.shape[1]:
        raise Refused("the weights do not fit their scales", shape=tuple(whole.shape))
    grouped = whole.to(torch.float32).reshape(*scale.shape, -1)
    return (grouped * scale[..., None]).reshape(whole.shape)
