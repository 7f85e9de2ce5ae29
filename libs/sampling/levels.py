"""What a network predicts, and the noise levels it was trained on.

Tables are made in float64 and rounded to float32 once; what is looked up in them is float32
arithmetic. Both are needed to arrive at ComfyUI's numbers. A level (sigma) is a float.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any
Table: TypeAlias = NDArray[np.float32]
Prediction = Literal["eps", "v", "x0", "edm"]

STEPS_TRAINED: Final = 1000
BETA_START: Final = 0.00085
BETA_END: Final = 0.012
# The last level of a chain rescaled to end in pure noise: its signal would be exactly zero.
TERMINAL_SIGNAL: Final = 4.8973451890853435e-08
ALWAYS: Final = 999999999.9


class Levels(Protocol):
    """The noise levels of a model, and what its output means at each.

    `is_flow` says that a latent under noise is a blend of both, not a sum; ancestral samplers
    step differently then.
    """

    @property
    def sigmas(self) -> Table:
        """The trained levels, rising."""

    @property
    def is_flow(self) -> bool:
        """Say whether noise and latent are blended (rectified flow)."""

    def timestep(self, sigma: float) -> float:
        """Return what the network is told at a level."""

    def sigma(self, timestep: float) -> float:
        """Return the level at what the network is told."""

    def sigma_at(self, part: float) -> float:
        """Return the level after `part` of the course, 0 to 1."""

    def network_input(self, x: Array, sigma: float) -> Array:
        """Return `x` at the variance the network was trained on."""

    def denoised(self, x: Array, output: Array, sigma: float) -> Array:
        """Return the picture that the network's output stands for."""

    def noised(self, latent: Array, noise: Array, sigma: float, *, full: bool) -> Array:
        """Return the latent under noise; `full` is the start of a whole course."""

    def finished(self, x: Array, sigma: float) -> Array:
        """Return the latent that a course ends with at `sigma`."""


def single(function: Callable[[Any], Any], value: Any) -> Any:
    """Return a function of float32 numbers, rounded once.

    Numpy's own float32 functions are a bit or two off, and which of two trained steps is nearer
    to a level half-way between them hangs on that bit.
    """
    return function(np.asarray(value, np.float32).astype(np.float64)).astype(np.float32)


def sigma_min(levels: Levels) -> float:
    """Return the lowest level trained on."""
    return float(levels.sigmas[0])


def sigma_max(levels: Levels) -> float:
    """Return the highest level trained on."""
    return float(levels.sigmas[-1])


class _Added:
    """Levels whose noise is added to a latent."""

    prediction: Prediction
    data: float
    is_flow: Final = False

    def network_input(self, x: Array, sigma: float) -> Array:
        return x / (sigma**2 + self.data**2) ** 0.5

    def denoised(self, x: Array, output: Array, sigma: float) -> Array:
        if self.prediction == "x0":
            return output
        if self.prediction in ("v", "edm"):
            # The network of Karras et al. (2022) predicts a velocity of the other sign.
            sign = -1 if self.prediction == "v" else 1
            total = sigma**2 + self.data**2
            return x * self.data**2 / total + output * (sign * sigma * self.data / total**0.5)
        return x - output * sigma

    def noised(self, latent: Array, noise: Array, sigma: float, *, full: bool) -> Array:
        if full:
            return noise * math.sqrt(1.0 + sigma**2.0) + latent
        return noise * sigma + latent

    def finished(self, x: Array, sigma: float) -> Array:  # noqa: ARG002
        return x


class Chain(_Added):
    """A variance-preserving chain of trained steps; the network predicts noise or velocity.

    `signal` gives another chain by what is left of the picture at each step (cumulated alphas,
    falling); the default is Stable Diffusion's.
    """

    data: float = 1.0

    def __init__(
        self,
        prediction: Prediction = "eps",
        zero_terminal_snr: bool = False,
        signal: NDArray[np.float64] | None = None,
    ) -> None:
        self.prediction = prediction
        self.zero_terminal_snr = zero_terminal_snr
        left = _stable_diffusion_signal() if signal is None else signal
        sigmas: NDArray[np.float64] = np.sqrt((1 - left) / left)
        if zero_terminal_snr:
            sigmas = _to_pure_noise(sigmas)
        self.sigmas: Table = sigmas.astype(np.float32)
        self.log_sigmas: Table = np.log(sigmas).astype(np.float32)

    def timestep(self, sigma: float) -> float:
        """Return the trained step whose level is nearest: an integer, never one in between."""
        with np.errstate(divide="ignore"):
            distance = np.abs(single(np.log, sigma) - self.log_sigmas)
        return float(distance.argmin())

    def sigma(self, timestep: float) -> float:
        """Return the level at a step, between two steps along the logarithm."""
        step = np.clip(np.float32(timestep), 0, len(self.sigmas) - 1)
        low, high, share = int(np.floor(step)), int(np.ceil(step)), step - np.floor(step)
        log = (np.float32(1) - share) * self.log_sigmas[low] + share * self.log_sigmas[high]
        return float(single(np.exp, log))

    def sigma_at(self, part: float) -> float:
        """Return the level after `part` of the course, 0 to 1."""
        if part <= 0:
            return ALWAYS
        return 0.0 if part >= 1 else self.sigma((1.0 - part) * (STEPS_TRAINED - 1))


@dataclass(frozen=True)
class Continuous(_Added):
    """A continuous range of levels (Karras et al. 2022), as SVD was trained on.

    `angle` tells the network the level as an angle; otherwise it is told a quarter of its
    logarithm. `data` is the deviation of the pictures.
    """

    lowest: float = 0.002
    highest: float = 120.0
    prediction: Prediction = "v"
    data: float = 1.0
    angle: bool = False

    @cached_property
    def sigmas(self) -> Table:
        """A thousand levels, evenly spaced in their logarithm."""
        logs = np.linspace(math.log(self.lowest), math.log(self.highest), STEPS_TRAINED)
        return np.exp(logs).astype(np.float32)

    def timestep(self, sigma: float) -> float:
        if self.angle:
            return math.atan(sigma) / math.pi * 2
        return 0.25 * math.log(sigma) if sigma > 0 else -math.inf

    def sigma(self, timestep: float) -> float:
        if self.angle:
            return math.tan(timestep * math.pi / 2)
        return math.exp(timestep / 0.25)

    def sigma_at(self, part: float) -> float:
        if part <= 0:
            return ALWAYS
        if part >= 1:
            return 0.0
        low, high = math.log(self.lowest), math.log(self.highest)
        return math.exp(low + (high - low) * (1.0 - part))


class AddedFlow(Continuous):
    """A rectified flow over levels whose noise is added, as Cosmos was trained.

    The network is told the share of the noise, and sees the latent scaled back to the blend.
    """

    def timestep(self, sigma: float) -> float:
        return sigma / (sigma + 1.0)

    def sigma(self, timestep: float) -> float:
        if timestep >= self.timestep(self.highest):
            return self.highest
        return timestep / (1.0 - timestep)

    def network_input(self, x: Array, sigma: float) -> Array:
        return x * (1.0 - self.timestep(sigma))

    def denoised(self, x: Array, output: Array, sigma: float) -> Array:
        time = self.timestep(sigma)
        return x * (1.0 - time) - output * time

    def noised(self, latent: Array, noise: Array, sigma: float, *, full: bool) -> Array:  # noqa: ARG002
        return noise * sigma + latent


@dataclass(frozen=True)
class Flow:
    """Rectified flow: a latent under noise is a blend, and the network predicts the way back.

    `shift` moves the levels towards the noise (Esser et al. 2024, equation 23). With `mu` the
    shift is exp(mu) and levels are what the network is told (Flux); `multiplier` scales that.
    """

    shift: float = 3.0
    multiplier: float = 1000.0
    mu: float | None = None
    is_flow: Literal[True] = True

    @cached_property
    def sigmas(self) -> Table:
        """The trained levels; Flux has ten times as many."""
        count = STEPS_TRAINED if self.mu is None else 10 * STEPS_TRAINED
        steps = np.arange(1, count + 1, dtype=np.float32) / np.float32(count)
        return np.array([self._shifted(float(step)) for step in steps], np.float32)

    def timestep(self, sigma: float) -> float:
        return sigma * self.multiplier

    def sigma(self, timestep: float) -> float:
        return self._shifted(timestep / self.multiplier)

    def sigma_at(self, part: float) -> float:
        if part <= 0:
            return 1.0
        return 0.0 if part >= 1 else self._shifted(1.0 - part)

    def network_input(self, x: Array, sigma: float) -> Array:  # noqa: ARG002
        return x

    def denoised(self, x: Array, output: Array, sigma: float) -> Array:
        return x - output * sigma

    def noised(self, latent: Array, noise: Array, sigma: float, *, full: bool) -> Array:  # noqa: ARG002
        return sigma * noise + (1.0 - sigma) * latent

    def finished(self, x: Array, sigma: float) -> Array:
        return x / (1.0 - sigma)

    def _shifted(self, time: float) -> float:
        shift = self.shift if self.mu is None else math.exp(self.mu)
        if shift == 1.0 or time <= 0:
            return time
        return shift * time / (1 + (shift - 1) * time)


def _stable_diffusion_signal() -> NDArray[np.float64]:
    root = np.linspace(BETA_START**0.5, BETA_END**0.5, STEPS_TRAINED, dtype=np.float64)
    return np.cumprod(1 - root**2, dtype=np.float64)


def _to_pure_noise(sigmas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift the levels so that the last holds no signal, keeping the first."""
    root: NDArray[np.float64] = np.asarray(np.sqrt(1 / (sigmas * sigmas + 1)), np.float64)
    first, last = root[0], root[-1]
    signal = ((root - last) * (first / (first - last))) ** 2
    signal[-1] = TERMINAL_SIGNAL
    return np.asarray(np.sqrt((1 - signal) / signal), np.float64)
