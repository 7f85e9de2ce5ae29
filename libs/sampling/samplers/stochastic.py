"""Solvers of the stochastic equation with fresh noise in each step.

ER-SDE (Cui et al. 2023), SEEDS (Gonzalez et al. 2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import numpy as np

from libs.sampling.levels import Array
from libs.sampling.noise import Draw
from libs.sampling.samplers.trail import Trail, root

INTEGRATION_POINTS: Final = 200

Scale: TypeAlias = Callable[[Array], Array]


Equation: TypeAlias = Literal["ER-SDE", "Reverse-time SDE", "ODE"]
Weighing: TypeAlias = Literal["phi_1", "phi_2"]


def scale_of(equation: Equation, eta: float) -> Scale:
    """Return the scale of the noise of an equation, `eta` of it."""
    if equation == "ODE":
        return lambda level: level
    if equation == "ER-SDE":
        return lambda level: level * (np.exp(level**0.3) + 10.0) ** eta
    return lambda level: level ** (eta + 1)


def er_sde(
    trail: Trail,
    x: Array,
    *,
    s_noise: float = 1.0,
    noise_scaler: Scale | None = None,
    max_stage: int = 3,
) -> Array:
    """Step by a noise scale of one's choice, and by how the picture changed in the last steps."""
    scale = noise_scaler or scale_of("ER-SDE", 1.0)
    draw = trail.draws(x)
    trail = trail.short_of_noise()
    ratios = [sigma / trail.signal(sigma) for sigma in trail.sigmas]
    before = change_before = None
    for at, (here, there) in enumerate(trail.steps()):
        seen = trail.denoise(x, here)
        if there == 0:
            return seen
        ratio, ratio_there, signal = ratios[at], ratios[at + 1], trail.signal(there)
        kept = float(scale(ratio_there) / scale(ratio))
        x = x * (signal / trail.signal(here) * kept) + seen * (signal * (1 - kept))
        if before is not None and max_stage > 1:
            change = (seen - before) / (ratio - ratios[at - 1])
            second, third = _integrals(scale, ratio, ratio_there)
            x = x + change * (signal * second)
            if change_before is not None and max_stage > 2:  # noqa: PLR2004
                bend = (change - change_before) / ((ratio - ratios[at - 2]) / 2)
                x = x + bend * (signal * third)
            change_before = change
        if s_noise > 0:
            up = root(ratio_there**2 - (ratio * kept) ** 2)
            x = x + draw() * (signal * s_noise * up)
        before = seen
    return x


def _integrals(scale: Scale, ratio: float, there: float) -> tuple[float, float]:
    """Return what the picture's change and its bend contribute to a step."""
    width = (ratio - there) / INTEGRATION_POINTS
    at = there + np.arange(INTEGRATION_POINTS) * width
    weights = 1 / scale(at) * width * scale(there)
    step = there - ratio
    second = step + float(np.sum(weights))
    return second, step**2 / 2 + float(np.sum((at - ratio) * weights))


def seeds_2(
    trail: Trail,
    x: Array,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
    solver_type: Weighing = "phi_1",
) -> Array:
    """Look again a part `r` of the step ahead, exactly in the logarithm of the noise."""
    walker = _Seeds(trail, trail.draws(x), eta, s_noise)
    for here, there in walker.trail.steps():
        seen = walker.trail.denoise(x, here)
        if there == 0:
            return seen
        step = walker.step(x, here, there)
        probe = step.to(r, [(1.0, seen)])
        later = walker.trail.denoise(probe, step.level(r))
        weight = 1 / (2 * r) if solver_type == "phi_1" else step.bent(1.0) / r
        x = step.to(1.0, [(1.0 - weight, seen), (weight, later)])
    return x


def seeds_3(
    trail: Trail,
    x: Array,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r_1: float = 1 / 3,
    r_2: float = 2 / 3,
) -> Array:
    """Look twice more in each step, after `r_1` and `r_2` of it."""
    walker = _Seeds(trail, trail.draws(x), eta, s_noise)
    for here, there in walker.trail.steps():
        seen = walker.trail.denoise(x, here)
        if there == 0:
            return seen
        step = walker.step(x, here, there)
        probe = step.to(r_1, [(1.0, seen)])
        second = walker.trail.denoise(probe, step.level(r_1))
        share = r_2 / r_1 * step.bent(r_2)
        probe = step.to(r_2, [(1.0 - share, seen), (share, second)])
        third = walker.trail.denoise(probe, step.level(r_2))
        share = step.bent(1.0) / r_2
        x = step.to(1.0, [(1.0 - share, seen), (share, third)])
    return x


class _Seeds:
    """What all steps of a walk share."""

    def __init__(self, trail: Trail, draw: Draw, eta: float, s_noise: float) -> None:
        self.trail, self.draw = trail.short_of_noise(), draw
        self.eta, self.s_noise = eta, s_noise

    def step(self, x: Array, here: float, there: float) -> _Step:
        return _Step(self, x, here, there)


class _Step:
    """One step, walked to several parts of it with one growing noise."""

    def __init__(self, walker: _Seeds, x: Array, here: float, there: float) -> None:
        self._walker, self._x, self._here, self._there = walker, x, here, there
        self._stride = walker.trail.log_snr(there) - walker.trail.log_snr(here)
        self._noise: Array | None = None
        self._noised_to = 0.0

    def level(self, part: float) -> float:
        if part == 1:
            return self._there
        return self._walker.trail.part_way(self._here, self._there, part)

    def to(self, part: float, pictures: list[tuple[float, Array]]) -> Array:
        """Return the latent at a part of the step, for a weighted sum of pictures."""
        eta, level = self._walker.eta, self.level(part)
        reach = part * self._stride
        gone = self._walker.trail.signal(level) * -math.expm1(-reach * (eta + 1))
        latent = self._x * (level / self._here * math.exp(-reach * eta))
        for weight, picture in pictures:
            latent = latent + picture * (weight * gone)
        if eta > 0 and self._walker.s_noise > 0:
            latent = latent + self._noise_at(part) * (level * self._walker.s_noise)
        return latent

    def bent(self, part: float) -> float:
        """Return how much less than the picture its change counts, at a part of the step."""
        reach = part * self._stride * (self._walker.eta + 1)
        return (math.expm1(-reach) + reach) / (reach * -math.expm1(-reach))

    def _noise_at(self, part: float) -> Array:
        segment = (part - self._noised_to) * self._stride * self._walker.eta
        fresh = self._walker.draw() * root(-math.expm1(-2 * segment))
        if self._noise is not None:
            fresh = self._noise * math.exp(-segment) + fresh
        self._noise, self._noised_to = fresh, part
        return fresh
