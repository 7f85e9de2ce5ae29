"""How the noise falls from step to step: from the highest level to zero.

Each schedule is a function of the levels and the number of steps, and most give one level more
than there are steps, the last one zero. `ddim_uniform` may give more, `beta` fewer. Levels are
float32 arithmetic, returned as floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

import numpy as np

from libs.sampling.levels import Levels, Table, sigma_max, sigma_min, single

Schedule: TypeAlias = Callable[[Levels, int], list[float]]

KARRAS_RHO: Final = 7.0
BETA_SHAPE: Final = 0.6
LINEAR_PART: Final = 0.025
ZERO: Final = 1e-5


def normal(levels: Levels, steps: int) -> list[float]:
    """Return evenly spaced trained steps, both ends included."""
    first, last = _ends(levels)
    if math.isclose(levels.sigma(last), 0, abs_tol=ZERO):
        return _at(levels, even(first, last, steps + 1))
    return [*_at(levels, even(first, last, steps)), 0.0]


def sgm_uniform(levels: Levels, steps: int) -> list[float]:
    """Return evenly spaced trained steps, the last end left out."""
    first, last = _ends(levels)
    return [*_at(levels, even(first, last, steps + 1)[:-1]), 0.0]


def simple(levels: Levels, steps: int) -> list[float]:
    """Return every n-th trained level."""
    stride = len(levels.sigmas) / steps
    return [*(float(levels.sigmas[-(1 + int(step * stride))]) for step in range(steps)), 0.0]


def ddim_uniform(levels: Levels, steps: int) -> list[float]:
    """Return every n-th trained level counted from the clean end, as DDIM does."""
    table = levels.sigmas
    ends_clean = math.isclose(float(table[1]), 0, abs_tol=ZERO)
    stride = max(len(table) // (steps + 1 if ends_clean else steps), 1)
    falling = _floats(table[1::stride][::-1])
    return falling if ends_clean else [*falling, 0.0]


def beta(levels: Levels, steps: int) -> list[float]:
    """Return trained levels spaced by a beta distribution: dense at both ends."""
    return beta_shaped(levels, steps, BETA_SHAPE, BETA_SHAPE)


def beta_shaped(levels: Levels, steps: int, alpha: float, shape: float) -> list[float]:
    """Return trained levels spaced by the beta distribution of these two shapes."""
    from scipy.stats import beta as distribution

    shares = 1 - np.linspace(0, 1, steps, endpoint=False)
    steps_at = np.rint(distribution.ppf(shares, alpha, shape) * (len(levels.sigmas) - 1))
    distinct = [step for at, step in enumerate(steps_at) if at == 0 or step != steps_at[at - 1]]
    return [*(float(levels.sigmas[int(step)]) for step in distinct), 0.0]


def karras(levels: Levels, steps: int) -> list[float]:
    """Return levels evenly spaced in their seventh root (Karras et al. 2022, equation 5)."""
    return karras_between(steps, sigma_min(levels), sigma_max(levels))


def karras_between(steps: int, low: float, high: float, rho: float = KARRAS_RHO) -> list[float]:
    """Return levels between two, evenly spaced in their rho-th root."""
    first, last = high ** (1 / rho), low ** (1 / rho)
    ramp = np.float32(first) + even(0, 1, steps) * np.float32(last - first)
    return [*_floats(single(lambda ends: ends**rho, ramp)), 0.0]


def exponential(levels: Levels, steps: int) -> list[float]:
    """Return levels evenly spaced in their logarithm."""
    return exponential_between(steps, sigma_min(levels), sigma_max(levels))


def exponential_between(steps: int, low: float, high: float) -> list[float]:
    """Return levels between two, evenly spaced in their logarithm."""
    return [*_floats(single(np.exp, even(math.log(high), math.log(low), steps))), 0.0]


def linear_quadratic(levels: Levels, steps: int) -> list[float]:
    """Return levels that fall slowly on a line, then fast on a parabola (Genmo's Mochi)."""
    if steps == 1:
        return [sigma_max(levels), 0.0]
    straight, bent = steps // 2, steps - steps // 2
    excess = straight - LINEAR_PART * steps
    curve = excess / (straight * bent**2)
    slope = LINEAR_PART / straight - 2 * excess / bent**2
    gone = [step * LINEAR_PART / straight for step in range(straight)]
    gone += [
        curve * step**2 + slope * step + curve * straight**2 for step in range(straight, steps)
    ]
    parts = np.array([1.0 - part for part in [*gone, 1.0]], np.float32)
    return _floats(parts * levels.sigmas[-1])


def kl_optimal(levels: Levels, steps: int) -> list[float]:
    """Return levels evenly spaced in their arc tangent (Sabour et al. 2024)."""
    shares = np.arange(steps, dtype=np.float32) / np.float32(max(steps - 1, 1))
    low, high = (np.float32(math.atan(end)) for end in (sigma_min(levels), sigma_max(levels)))
    return [*_floats(single(np.tan, shares * low + (np.float32(1) - shares) * high)), 0.0]


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


def even(first: float, last: float, count: int) -> Table:
    """Return that many float32 numbers from first to last, each from its nearer end."""
    if count == 1:
        return np.array([first], np.float32)
    start, end = np.float32(first), np.float32(last)
    step = (end - start) / np.float32(count - 1)
    at = np.arange(count, dtype=np.float32)
    rising: Table = start + step * at
    falling: Table = end - step * (np.float32(count - 1) - at)
    return np.where(at < count // 2, rising, falling)


def _ends(levels: Levels) -> tuple[float, float]:
    return levels.timestep(sigma_max(levels)), levels.timestep(sigma_min(levels))


def _at(levels: Levels, timesteps: Iterable[float]) -> list[float]:
    return [levels.sigma(float(timestep)) for timestep in timesteps]


def _floats(levels: Table) -> list[float]:
    return [float(level) for level in levels]
