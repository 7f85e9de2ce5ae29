"""The levels of latent consistency models: fifty of a chain's steps, and a skip to the picture."""

from __future__ import annotations

from typing import Final

import numpy as np

from libs.sampling.levels import Array, Chain, single

STEPS_DISTILLED: Final = 50
# The network was trained to leave what is hardly noisy as it is (Luo et al. 2023).
DATA: Final = 0.5
TIME_SCALE: Final = 10.0


class Distilled(Chain):
    """A chain of which a network knows every twentieth step."""

    def __init__(self, *, zero_terminal_snr: bool = False) -> None:
        super().__init__("eps", zero_terminal_snr)
        self.stride = len(self.sigmas) // STEPS_DISTILLED
        self.sigmas = self.sigmas[self.stride - 1 :: self.stride]
        self.log_sigmas = single(np.log, self.sigmas)

    def timestep(self, sigma: float) -> float:
        return super().timestep(sigma) * self.stride + self.stride - 1

    def sigma(self, timestep: float) -> float:
        return super().sigma((timestep - (self.stride - 1)) / self.stride)

    def denoised(self, x: Array, output: Array, sigma: float) -> Array:
        time = self.timestep(sigma) * TIME_SCALE
        total = time**2 + DATA**2
        seen = super().denoised(x, output, sigma)
        return seen * (time / total**0.5) + x * (DATA**2 / total)
