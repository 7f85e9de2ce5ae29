"""Where randomness comes from: the seed, and nothing else."""

from __future__ import annotations

import torch
from torch import Tensor

SEED_BITS = 2**64 - 1

# The pictures this engine is held to were made by ComfyUI 0.3.64. Its pull request 11528 later
# moved the noise drawn on a CPU during sampling to seed + 1.
COMPATIBILITY_REFERENCE = 0
COMPATIBILITY_CPU_NOISE = 11528


def starting_noise(like: Tensor, seed: int) -> Tensor:
    """Return the noise a course starts from: drawn on the CPU, for the whole batch at once."""
    generator = torch.Generator().manual_seed(seed & SEED_BITS)
    return torch.randn(like.shape, generator=generator, dtype=torch.float32)


class StepNoise:
    """The noise that some samplers add after each step, drawn where the latent lies."""

    def __init__(self, seed: int, device: torch.device, compatibility: int) -> None:
        shifted = device.type == "cpu" and compatibility >= COMPATIBILITY_CPU_NOISE
        self._generator = torch.Generator(device)
        self._generator.manual_seed((seed + int(shifted)) & SEED_BITS)

    def draw(self, like: Tensor) -> Tensor:
        """Return the next noise of that shape."""
        return torch.randn(
            like.shape, generator=self._generator, dtype=like.dtype, device=like.device
        )
