"""Pictures, masks and latents: the tensors that run along the wires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from libs.diffusion.scaling import scale, target_size

LATENT_CHANNELS = 4
PIXELS_PER_CELL = 8
# A latent is not scaled below that.
SIDE_PIXELS_MIN = 64


@dataclass(frozen=True)
class Picture:
    """IMAGE: RGB float32 [count, height, width, 3], 0 to 1, on the CPU."""

    pixels: Tensor

    @property
    def count(self) -> int:
        """How many pictures."""
        return self.pixels.shape[0]

    @property
    def height(self) -> int:
        """In pixels."""
        return self.pixels.shape[1]

    @property
    def width(self) -> int:
        """In pixels."""
        return self.pixels.shape[2]

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return self.pixels.nbytes

    def frames(self) -> list[NDArray[np.uint8]]:
        """Return each picture as bytes, cut off and not rounded."""
        return [np.clip(255.0 * frame.numpy(), 0, 255).astype(np.uint8) for frame in self.pixels]

    def scaled(self, method: str, width: int, height: int, crop: str) -> Picture:
        """Return the pictures at another size; a side of 0 keeps the proportions."""
        size = target_size((self.height, self.width), width, height)
        return Picture(scale(self.pixels.movedim(-1, 1), method, size, crop).movedim(1, -1))

    def inverted(self) -> Picture:
        """Return the negatives."""
        return Picture(1.0 - self.pixels)


@dataclass(frozen=True)
class Mask:
    """MASK: one channel float32 [count, height, width], 0 to 1, on the CPU."""

    values: Tensor

    @property
    def height(self) -> int:
        """In pixels."""
        return self.values.shape[-2]

    @property
    def width(self) -> int:
        """In pixels."""
        return self.values.shape[-1]

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return self.values.nbytes


@dataclass(frozen=True)
class Latents:
    """LATENT: float32 [count, channels, height / 8, width / 8], unscaled, on the CPU.

    Those of videos are [count, channels, frames, height / 8, width / 8]. `mask` marks what a
    sampler may change; `batch_index` says which noise of a larger batch each one is given.
    """

    samples: Tensor
    mask: Mask | None = None
    batch_index: tuple[int, ...] | None = None

    @property
    def count(self) -> int:
        """How many pictures."""
        return self.samples.shape[0]

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return self.samples.nbytes + (self.mask.size_bytes if self.mask else 0)

    def scaled(self, method: str, width: int, height: int, crop: str) -> Latents:
        """Return them at another size in pixels; a side of 0 keeps the proportions."""
        rows, columns = self.samples.shape[-2:]
        pixels = (rows * PIXELS_PER_CELL, columns * PIXELS_PER_CELL)
        tall, wide = target_size(pixels, width, height)
        size = (_cells(tall), _cells(wide))
        return replace(self, samples=scale(self.samples, method, size, crop))

    def masked(self, mask: Mask) -> Latents:
        """Return them with the part to repaint marked."""
        return replace(self, mask=mask)

    def to_bytes(self, metadata: Mapping[str, str]) -> bytes:
        """Return them as a safetensors file that ComfyUI's loader takes."""
        tensors = {
            "latent_tensor": self.samples.contiguous(),
            # Readers take this marker's presence to mean that nothing needs to be rescaled.
            "latent_format_version_0": torch.tensor([]),
        }
        return save(tensors, dict(metadata))


def _cells(pixels: int) -> int:
    return max(SIDE_PIXELS_MIN, pixels) // PIXELS_PER_CELL
