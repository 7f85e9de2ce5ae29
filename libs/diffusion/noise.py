"""Noise out of torch's generators, and masks in the latent's cells."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from libs.sampling.conditioning import Entry
from libs.sampling.noise import COMPATIBILITY_CPU_NOISE, SEED_BITS, Between, Draw, every_place


class TorchNoise:
    """Draws noise as ComfyUI does, in the way of one compatibility level."""

    def __init__(self, compatibility: int) -> None:
        self._compatibility = compatibility

    def starting(self, like: Tensor, seed: int, batch_index: Sequence[int] | None = None) -> Tensor:
        """Return what a course starts from: drawn on the CPU, wherever the latent lies."""
        generator = torch.Generator().manual_seed(seed & SEED_BITS)

        def draw(shape: Sequence[int]) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float32)

        if batch_index is None:
            return draw(like.shape).to(like.device)
        one = (1, *like.shape[1:])
        return torch.cat(every_place(lambda: draw(one), batch_index)).to(like.device)

    def steps(self, seed: int, like: Tensor) -> Draw:
        """Return a stream of noise drawn where the latent lies."""
        shifted = like.device.type == "cpu" and self._compatibility >= COMPATIBILITY_CPU_NOISE
        generator = torch.Generator(like.device)
        generator.manual_seed((seed + int(shifted)) & SEED_BITS)
        return lambda: torch.randn(
            like.shape, generator=generator, dtype=like.dtype, device=like.device
        )

    def brownian(
        self, seed: int, like: Tensor, low: float, high: float, *, on_cpu: bool
    ) -> Between:
        """Return increments of one Brownian path, each of unit variance."""
        from torchsde import BrownianTree

        # It rounds its ends to some digits, and says so of each look at them.
        warnings.filterwarnings("ignore", message="Should have t", module="torchsde")
        device = torch.device("cpu") if on_cpu else like.device
        start = torch.zeros_like(like, device=device)
        tree = BrownianTree(low, start, high, entropy=seed)

        def between(here: float, there: float) -> Tensor:
            first, last, sign = (here, there, 1) if here < there else (there, here, -1)
            path = tree(torch.tensor(first), torch.tensor(last))
            unit: Tensor = path.to(like.device) * (sign / abs(there - here) ** 0.5)
            return unit

        return between


def mask_in_cells(mask: Tensor, latent: Tensor) -> Tensor:
    """Return a mask [count, height, width] in the shape of the latent."""
    count, video = latent.shape[0], latent.ndim == 5
    cells = functional.interpolate(
        mask[None, None] if video else mask[:, None],
        size=latent.shape[2:],
        mode="trilinear" if video else "bilinear",
    )
    if cells.shape[0] < count:
        cells = cells.repeat(-(-count // cells.shape[0]), *(1,) * (cells.ndim - 1))
    return cells[:count].expand_as(latent)


def entry_in_cells(entry: Entry, latent: Tensor) -> Entry:
    """Return an entry with its mask, if it has one, in the cells of the latent."""
    if entry.mask is None:
        return entry
    values: Tensor = entry.mask.values.to(latent)
    cells = functional.interpolate(values[:, None], size=latent.shape[-2:], mode="bilinear")[:, 0]
    return replace(entry, mask=replace(entry.mask, values=cells))
