"""What a network predicts, and the table of noise levels it was trained on.

The tables are made in float64 and rounded to float32 once; the arithmetic after that is
float32. Both are needed to arrive at ComfyUI's numbers.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Prediction = Literal["eps", "v"]

STEPS_TRAINED = 1000
BETA_START = 0.00085
BETA_END = 0.012
# The last level of a chain rescaled to end in pure noise: its signal would be exactly zero.
TERMINAL_SIGNAL = 4.8973451890853435e-08
ALWAYS = 999999999.9


class Parameterisation:
    """A variance-preserving chain of 1000 levels; the network predicts noise or velocity."""

    def __init__(self, prediction: Prediction = "eps", zero_terminal_snr: bool = False) -> None:
        self.prediction = prediction
        self.zero_terminal_snr = zero_terminal_snr
        root = torch.linspace(BETA_START**0.5, BETA_END**0.5, STEPS_TRAINED, dtype=torch.float64)
        signal = torch.cumprod(1 - root**2, 0)
        sigmas = ((1 - signal) / signal) ** 0.5
        if zero_terminal_snr:
            sigmas = _to_pure_noise(sigmas)
        self.sigmas = sigmas.float()
        self.log_sigmas = sigmas.log().float()

    @property
    def sigma_min(self) -> Tensor:
        """The lowest noise level trained on."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        """The highest noise level trained on."""
        return self.sigmas[-1]

    def timestep(self, sigma: Tensor) -> Tensor:
        """Return the trained step whose level is nearest: an integer, never one in between."""
        distance = (sigma.log() - self.log_sigmas[:, None]).abs()
        return distance.argmin(0).view(sigma.shape)

    def sigma(self, timestep: Tensor) -> Tensor:
        """Return the noise level at a step, between two steps along the logarithm."""
        step = torch.clamp(timestep.float(), 0, len(self.sigmas) - 1)
        low, high, share = step.floor().long(), step.ceil().long(), step.frac()
        return ((1 - share) * self.log_sigmas[low] + share * self.log_sigmas[high]).exp()

    def sigma_at(self, part: float) -> float:
        """Return the noise level after `part` of the course, 0 to 1."""
        if part <= 0:
            return ALWAYS
        if part >= 1:
            return 0.0
        return self.sigma(torch.tensor((1.0 - part) * (STEPS_TRAINED - 1))).item()

    def network_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return `x` at the variance the network was trained on."""
        scaled: Tensor = x / (sigma**2 + 1.0) ** 0.5
        return scaled

    def denoised(self, x: Tensor, output: Tensor, sigma: Tensor) -> Tensor:
        """Return the picture that the network's output stands for."""
        if self.prediction == "v":
            scale = (sigma**2 + 1.0) ** 0.5
            return x * 1.0 / (sigma**2 + 1.0) - output * sigma / scale
        return x - output * sigma

    def noised(self, latent: Tensor, noise: Tensor, sigma: Tensor, *, full: bool) -> Tensor:
        """Return the latent under noise; `full` is the start of a whole course."""
        if full:
            return noise * torch.sqrt(1.0 + sigma**2.0) + latent
        return noise * sigma + latent


def _to_pure_noise(sigmas: Tensor) -> Tensor:
    """Shift the levels so that the last holds no signal, keeping the first."""
    root = (1 / (sigmas * sigmas + 1)).sqrt()
    first, last = root[0].clone(), root[-1].clone()
    signal = ((root - last) * (first / (first - last))) ** 2
    signal[-1] = TERMINAL_SIGNAL
    return ((1 - signal) / signal) ** 0.5
