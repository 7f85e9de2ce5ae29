"""VAEs of video models: what frame stands beside which has a say in how each is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import Tensor

from libs.diffusion.residency import Resident
from libs.diffusion.vae import Vae
from libs.diffusion.values import PIXELS_PER_CELL

# Eight frames of 1024 x 576: about 8 GiB while they are decoded in half precision.
PIXELS_AT_ONCE: Final = 8 * 1024 * 576
# Frames decoded with their neighbours but taken from the neighbours' own piece.
MARGIN: Final = 1


@dataclass(frozen=True)
class TemporalVae(Vae):
    """VAE of Stable Video Diffusion: encodes pictures, decodes frames that know each other.

    A latent's batch is one video. What is too long for the memory is decoded in pieces that
    overlap, always the same ones for a size.
    """

    network: Resident[AutoencoderKLTemporalDecoder]

    @torch.inference_mode()
    def decoded(self, samples: Tensor) -> Tensor:
        network = self.network.get()
        count = len(samples)
        frames = frames_at_once(samples.shape[-2] * samples.shape[-1] * PIXELS_PER_CELL**2)
        kept = []
        for first, last in pieces(count, frames):
            start, end = max(0, first - MARGIN), min(count, last + MARGIN)
            placed = self._placed(samples[start:end])
            seen = network.decode(placed, num_frames=end - start, return_dict=False)[0]
            kept.append(seen[first - start : last - start].float().cpu())
        return torch.cat(kept)


def frames_at_once(pixels: int) -> int:
    """Return how many frames of so many pixels are decoded together, margins included."""
    return max(2 * MARGIN + 1, PIXELS_AT_ONCE // pixels)


def pieces(count: int, at_once: int) -> Iterator[tuple[int, int]]:
    """Yield the first frame of each piece and the one behind its last, without margins."""
    if count <= at_once:
        yield 0, count
        return
    step = at_once - 2 * MARGIN
    for first in range(0, count, step):
        yield first, min(count, first + step)
