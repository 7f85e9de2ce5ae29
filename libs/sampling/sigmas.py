"""SIGMAS: rows of noise levels by themselves, apart from any model."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from libs.core.errors import Refused
from libs.sampling import schedules
from libs.sampling.levels import Levels, single
from libs.sampling.schedules import even

# Where a row that begins at no noise begins instead.
ALMOST_NOTHING: Final = 0.0001
LAPLACE_EPSILON: Final = 1e-5
TURBO_STEPS: Final = 10
LEVELS_MAX: Final = 100_000
NUMBER: Final = re.compile(r"[-+]?(?:\d*\.*\d+)")

AlignedFor: TypeAlias = Literal["SD1", "SDXL", "SVD"]
Spacing: TypeAlias = Literal["linear", "cosine", "sine"]
SPACINGS: Mapping[Spacing, Callable[[float], float]] = {
    "linear": lambda part: part,
    "cosine": lambda part: math.sin(part * math.pi / 2),
    "sine": lambda part: 1 - math.cos(part * math.pi / 2),
}
# The levels that Sabour et al. (2024) found for ten steps.
ALIGNED: Mapping[AlignedFor, Sequence[float]] = {
    "SD1": (
        *(14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092),
        *(0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582),
    ),
    "SDXL": (
        *(14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141),
        *(0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582),
    ),
    "SVD": (700.00, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}


@dataclass(frozen=True)
class Row:
    """Noise levels to walk, float32 each."""

    levels: tuple[float, ...]

    @classmethod
    def of(cls, levels: Sequence[float]) -> Row:
        """Return a row of levels, rounded to float32."""
        if len(levels) > LEVELS_MAX:
            raise Refused("so many levels are not walked", field="sigmas", maximum=LEVELS_MAX)
        return cls(tuple(float(np.float32(level)) for level in levels))

    def split(self, step: int) -> tuple[Row, Row]:
        """Return the levels up to a step, and those from there on."""
        return Row(self.levels[: step + 1]), Row(self.levels[step:])

    def split_by(self, denoise: float) -> tuple[Row, Row]:
        """Return the levels before the last part of the steps, and those of that part."""
        steps = round(max(len(self.levels) - 1, 0) * denoise)
        # Without a step in the last part nothing is before it either.
        return Row(self.levels[:-steps] if steps else ()), Row(self.levels[-(steps + 1) :])

    def flipped(self) -> Row:
        """Return the levels upwards, from almost no noise."""
        if not self.levels:
            return self
        first, *others = reversed(self.levels)
        return Row.of([first or ALMOST_NOTHING, *others])

    def starting_at(self, sigma: float) -> Row:
        """Return the levels with another first one."""
        if not self.levels:
            raise Refused("a row without levels has no first one", field="sigmas")
        return Row.of([sigma, *self.levels[1:]])

    def refined(self, steps: int, start: float, end: float, spacing: Spacing) -> Row:
        """Return the levels with more between those from `start` down to `end`."""
        parts = [SPACINGS[spacing](part / steps) for part in range(1, steps)]
        refined: list[float] = []
        for at, here in enumerate(self.levels):
            refined.append(here)
            if at + 1 < len(self.levels) and end <= here <= start:
                refined += [part * (self.levels[at + 1] - here) + here for part in parts]
        return Row.of(refined)


def karras(steps: int, low: float, high: float, rho: float) -> Row:
    """Return levels evenly spaced in their rho-th root."""
    _above_zero(sigma_min=low, sigma_max=high, rho=rho)
    return Row.of(schedules.karras_between(steps, low, high, rho))


def exponential(steps: int, low: float, high: float) -> Row:
    """Return levels evenly spaced in their logarithm."""
    _above_zero(sigma_min=low, sigma_max=high)
    return Row.of(schedules.exponential_between(steps, low, high))


def polyexponential(steps: int, low: float, high: float, rho: float) -> Row:
    """Return levels whose logarithm falls as a power of the step."""
    _above_zero(sigma_min=low, sigma_max=high)
    ramp = single(lambda part: part**rho, even(1, 0, steps))
    logs = ramp * np.float32(math.log(high) - math.log(low)) + np.float32(math.log(low))
    return Row.of([*single(np.exp, logs), 0.0])


def laplace(steps: int, low: float, high: float, mu: float, beta: float) -> Row:
    """Return levels dense around exp(mu) (Hang et al. 2024); the last one is not zero."""
    part = even(0, 1, steps).astype(np.float64)
    away = np.log(1 - 2 * np.abs(0.5 - part) + LAPLACE_EPSILON)
    return Row.of(np.clip(np.exp(mu - beta * np.sign(0.5 - part) * away), low, high).tolist())


def variance_preserving(steps: int, beta_d: float, beta_min: float, eps_s: float) -> Row:
    """Return the levels of a continuous chain, evenly spaced in its time."""
    time = even(1, eps_s, steps).astype(np.float64)
    return Row.of([*np.sqrt(np.expm1(beta_d * time**2 / 2 + beta_min * time)), 0.0])


def aligned(kind: AlignedFor, steps: int, denoise: float) -> Row:
    """Return the levels found best for a kind of model, between them along the logarithm."""
    if denoise <= 0:
        return Row(())
    known = ALIGNED[kind]
    places = np.linspace(0, 1, steps + 1)
    logs = np.interp(places, np.linspace(0, 1, len(known)), np.log(known))
    levels = known if len(known) == steps + 1 else np.exp(logs).tolist()
    walked = round(steps * denoise) if denoise < 1 else steps
    return Row.of([*levels[-(walked + 1) : -1], 0.0])


def turbo(levels: Levels, steps: int, denoise: float) -> Row:
    """Return the levels of every hundredth trained step, as SD Turbo was distilled for."""
    first = TURBO_STEPS - int(TURBO_STEPS * denoise)
    timesteps = [100 * (TURBO_STEPS - at) - 1 for at in range(TURBO_STEPS)]
    picked = timesteps[first : first + steps]
    return Row.of([*(levels.sigma(float(timestep)) for timestep in picked), 0.0])


def written(text: str) -> Row:
    """Return the numbers in a text."""
    return Row.of([float(number) for number in NUMBER.findall(text)])


def _above_zero(**values: float) -> None:
    for field, value in values.items():
        if value <= 0:
            raise Refused("this must be above zero here", field=field, received=value)
