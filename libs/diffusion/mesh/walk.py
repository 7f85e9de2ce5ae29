"""From noise to what Shap-E decodes: Karras' levels, Heun's steps, a network that sees the end."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from libs.sampling.schedules import karras_between

# The signal falls exponentially over the training steps.
TRAINING_STEPS: Final = 1024
FALL: Final = 12.0
BETA_MAX: Final = 0.999
# What the network says lies between these.
RANGE: Final = 1.0

# Is given the state, scaled to what the network knows, and the step of the training it is at.
See = Callable[[Tensor, float], Tensor]
OnStep = Callable[[int, int], None]


def levels_of_training() -> NDArray[np.float64]:
    """Return how much noise there is over the signal at each step of the training."""
    steps = np.arange(TRAINING_STEPS + 1) / TRAINING_STEPS
    signal = np.exp(-FALL * steps)
    betas = np.minimum(1.0 - signal[1:] / signal[:-1], BETA_MAX)
    left = np.cumprod(1.0 - betas)
    return np.sqrt((1.0 - left) / left)


def levels_of(steps: int) -> list[float]:
    """Return the levels to walk down, and 0 behind them."""
    table = levels_of_training()
    return karras_between(steps, float(table[0]), float(table[-1]))


def step_of_training(level: float) -> float:
    """Return where a level lies among the steps of the training, fractions included."""
    table = np.log(levels_of_training())
    return float(np.interp(np.log(level), table, np.arange(TRAINING_STEPS)))


def walk(noise: Tensor, steps: int, see: See, on_step: OnStep) -> Tensor:
    """Return what the noise becomes."""
    levels = levels_of(steps)
    x = noise * levels[0]
    for done, (here, there) in enumerate(pairwise(levels), start=1):
        x = _step(x, here, there, see)
        on_step(done, steps)
    return x


def _step(x: Tensor, here: float, there: float, see: See) -> Tensor:
    slope = (x - _seen(x, here, see)) / here
    ahead = x + slope * (there - here)
    if there > 0:
        slope = (slope + (ahead - _seen(ahead, there, see)) / there) / 2
        ahead = x + slope * (there - here)
    return ahead


def _seen(x: Tensor, level: float, see: See) -> Tensor:
    scaled = x / (level**2 + 1) ** 0.5
    return see(scaled, step_of_training(level)).clamp(-RANGE, RANGE)
