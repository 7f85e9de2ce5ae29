"""How the noise falls from step to step: from the highest level to zero.

Each schedule is a function of the parameterisation and the number of steps, and most give one
level more than there are steps, the last one zero. `ddim_uniform` may give more, `beta` fewer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from scipy.stats import beta as beta_distribution
from torch import Tensor

from libs.diffusion.sampling.parameterisation import Parameterisation

Schedule = Callable[[Parameterisation, int], Tensor]

KARRAS_RHO = 7.0
BETA_SHAPE = 0.6
LINEAR_PART = 0.025
ZERO = 1e-5


def normal(levels: Parameterisation, steps: int) -> Tensor:
    """Return evenly spaced trained steps, both ends included."""
    first, last = _ends(levels)
    if math.isclose(float(levels.sigma(torch.tensor(last))), 0, abs_tol=ZERO):
        return _at(levels, torch.linspace(first, last, steps + 1))
    return _then_zero(_at(levels, torch.linspace(first, last, steps)))


def sgm_uniform(levels: Parameterisation, steps: int) -> Tensor:
    """Return evenly spaced trained steps, the last end left out."""
    first, last = _ends(levels)
    return _then_zero(_at(levels, torch.linspace(first, last, steps + 1)[:-1]))


def simple(levels: Parameterisation, steps: int) -> Tensor:
    """Return every n-th trained level."""
    stride = len(levels.sigmas) / steps
    picked = [levels.sigmas[-(1 + int(step * stride))] for step in range(steps)]
    return _then_zero(torch.stack(picked))


def ddim_uniform(levels: Parameterisation, steps: int) -> Tensor:
    """Return every n-th trained level counted from the clean end, as DDIM does."""
    table = levels.sigmas
    ends_clean = math.isclose(float(table[1]), 0, abs_tol=ZERO)
    stride = max(len(table) // (steps + 1 if ends_clean else steps), 1)
    rising = table[1::stride]
    return rising.flip(0) if ends_clean else _then_zero(rising.flip(0))


def beta(levels: Parameterisation, steps: int) -> Tensor:
    """Return trained levels spaced by a beta distribution: dense at both ends."""
    shares = 1 - np.linspace(0, 1, steps, endpoint=False)
    steps_at = np.rint(
        beta_distribution.ppf(shares, BETA_SHAPE, BETA_SHAPE) * (len(levels.sigmas) - 1)
    )
    distinct = [step for at, step in enumerate(steps_at) if at == 0 or step != steps_at[at - 1]]
    return _then_zero(levels.sigmas[torch.tensor(distinct).long()])


def karras(levels: Parameterisation, steps: int) -> Tensor:
    """Return levels evenly spaced in their seventh root (Karras et al. 2022, equation 5)."""
    low = float(levels.sigma_min) ** (1 / KARRAS_RHO)
    high = float(levels.sigma_max) ** (1 / KARRAS_RHO)
    return _then_zero((high + torch.linspace(0, 1, steps) * (low - high)) ** KARRAS_RHO)


def exponential(levels: Parameterisation, steps: int) -> Tensor:
    """Return levels evenly spaced in their logarithm."""
    high, low = math.log(float(levels.sigma_max)), math.log(float(levels.sigma_min))
    return _then_zero(torch.linspace(high, low, steps).exp())


def linear_quadratic(levels: Parameterisation, steps: int) -> Tensor:
    """Return levels that fall slowly on a line, then fast on a parabola (Genmo's Mochi)."""
    if steps == 1:
        return _then_zero(levels.sigmas[-1:])
    straight, bent = steps // 2, steps - steps // 2
    excess = straight - LINEAR_PART * steps
    curve = excess / (straight * bent**2)
    slope = LINEAR_PART / straight - 2 * excess / bent**2
    gone = [step * LINEAR_PART / straight for step in range(straight)]
    gone += [
        curve * step**2 + slope * step + curve * straight**2 for step in range(straight, steps)
    ]
    return torch.tensor([1.0 - part for part in [*gone, 1.0]]) * levels.sigma_max


def kl_optimal(levels: Parameterisation, steps: int) -> Tensor:
    """Return levels evenly spaced in their arc tangent (Sabour et al. 2024)."""
    shares = torch.arange(steps, dtype=torch.float32) / max(steps - 1, 1)
    low, high = math.atan(float(levels.sigma_min)), math.atan(float(levels.sigma_max))
    return _then_zero((shares * low + (1 - shares) * high).tan())


SCHEDULES: Mapping[str, Schedule] = {
    "simple": simple,
    "sgm_uniform": sgm_uniform,
    "karras": karras,
    "exponential": exponential,
    "ddim_uniform": ddim_uniform,
    "beta": beta,
    "normal": normal,
    "linear_quadratic": linear_quadratic,
    "kl_optimal": kl_optimal,
}


def _ends(levels: Parameterisation) -> tuple[float, float]:
    return float(levels.timestep(levels.sigma_max)), float(levels.timestep(levels.sigma_min))


def _at(levels: Parameterisation, timesteps: Tensor) -> Tensor:
    return torch.stack([levels.sigma(timestep) for timestep in timesteps])


def _then_zero(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas, sigmas.new_zeros(1)])
