"""Predictors and correctors over the last pictures: SA-Solver and UniPC.

Xue et al. (2023), Zhao et al. (2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.polynomial import Polynomial

from libs.sampling.levels import Array
from libs.sampling.samplers.trail import Trail, root

STOCHASTIC_FROM: Final = 0.2
STOCHASTIC_UNTIL: Final = 0.8
UNIPC_ORDER: Final = 3
# Where UniPC ends: at no noise at all its logarithm would have none.
UNIPC_LAST: Final = float(np.float32(0.001))

Tau: TypeAlias = Callable[[float], float]
Variant: TypeAlias = Literal["bh1", "bh2"]


def within(start: float, end: float, eta: float) -> Tau:
    """Return a stochasticity of `eta` between two levels, and none outside."""
    return lambda sigma: eta if start >= sigma >= end and eta > 0 else 0.0


def sa_solver(
    trail: Trail,
    x: Array,
    *,
    tau_func: Tau | None = None,
    s_noise: float = 1.0,
    predictor_order: int = 3,
    corrector_order: int = 4,
    use_pece: bool = False,
    simple_order_2: bool = False,
) -> Array:
    """Predict by the last pictures, and correct once the next one is seen."""
    draw = trail.draws(x)
    trail = trail.short_of_noise()
    levels = trail.levels
    tau_of = tau_func or within(
        levels.sigma_at(STOCHASTIC_FROM), levels.sigma_at(STOCHASTIC_UNTIL), 1.0
    )
    times = [trail.log_snr(sigma) for sigma in trail.sigmas]
    orders = _Orders(trail.sigmas, predictor_order, corrector_order, use_pece)
    pictures: list[Array] = []
    predicted, tau, noise = x, 0.0, None
    for at, (here, there) in enumerate(trail.steps()):
        seen = trail.denoise(predicted, here)
        pictures = [*pictures, seen][-max(predictor_order, corrector_order, 1) :]
        forward, backward = orders.at(at, len(pictures))
        if backward:
            span = _Span(trail, times, at - 1, tau, simple_order_2)
            x = span.stepped(x, pictures[-backward:], range(at - backward + 1, at + 1))
            x = x if noise is None else x + noise
            if use_pece:
                seen = pictures[-1] = trail.denoise(x, here)
        else:
            x = predicted
        if there == 0:
            return seen
        tau = tau_of(there)
        span = _Span(trail, times, at, tau, simple_order_2)
        predicted = span.stepped(x, pictures[-forward:], range(at - forward + 1, at + 1))
        noise = draw() * (span.up * s_noise) if tau > 0 and s_noise > 0 else None
        predicted = predicted if noise is None else predicted + noise
    return predicted


@dataclass(frozen=True)
class _Orders:
    """How many pictures SA-Solver predicts and corrects by: fewer where no noise is near."""

    sigmas: Sequence[float]
    predictor: int
    corrector: int
    pece: bool

    def at(self, place: int, known: int) -> tuple[int, int]:
        last = len(self.sigmas) - 1
        forward, backward = min(self.predictor, known), min(self.corrector, known)
        if place == 0 or (self.sigmas[place + 1] == 0 and not self.pece):
            backward = 0
        if self.sigmas[-1] > 0:
            return forward, backward
        return min(forward, last - 1 - place), min(backward, last - place)


@dataclass(frozen=True)
class _Span:
    """A step of SA-Solver, from one place of the trail to the next."""

    trail: Trail
    times: Sequence[float]
    start: int
    tau: float
    simple: bool

    @property
    def end(self) -> int:
        return self.start + 1

    @property
    def stride(self) -> float:
        return self.times[self.end] - self.times[self.start]

    @property
    def up(self) -> float:
        sigma = self.trail.sigmas[self.end]
        return sigma * root(-math.expm1(-2 * self.tau**2 * self.stride))

    def stepped(self, x: Array, pictures: Sequence[Array], places: range) -> Array:
        """Return the latent at the end, for the pictures seen at these places."""
        here, there = self.trail.sigmas[self.start], self.trail.sigmas[self.end]
        x = x * (there / here * math.exp(-(self.tau**2) * self.stride))
        signal = self.trail.signal(there)
        for weight, picture in zip(self._weights(places), pictures, strict=True):
            x = x + picture * (signal * weight)
        return x

    def _weights(self, places: range) -> Sequence[float]:
        known = [self.times[place] - self.times[self.end] for place in places]
        speed = 1 + self.tau**2
        if self.simple and len(known) == 2:  # noqa: PLR2004
            return self._simple_weights(known, speed)
        moments = _moments(self.stride, speed, len(known))
        return [float(np.dot(_basis(known, own).coef, moments[: len(known)])) for own in known]

    def _simple_weights(self, known: Sequence[float], speed: float) -> Sequence[float]:
        """Return the paper's simpler weights of two pictures (its appendix D)."""
        whole = -math.expm1(-speed * self.stride)
        if known[-1] == 0:
            last = speed * self.stride / 2
            return whole - last, last
        first = speed * self.stride**2 / 2 / (known[0] + self.stride)
        return first, whole - first


def _moments(stride: float, speed: float, count: int) -> list[float]:
    """Return the integrals of the powers of time, weighted exponentially towards the end."""
    moments = [-math.expm1(-speed * stride)]
    for power in range(1, count):
        edge = (-stride) ** power * math.exp(-speed * stride)
        moments.append(-edge - power / speed * moments[-1])
    return moments


def _basis(known: Sequence[float], own: float) -> Polynomial:
    """Return the polynomial that is one at its own time and zero at the others."""
    basis = Polynomial([1.0])
    for other in known:
        if other != own:
            basis = basis * Polynomial([-other, 1.0]) / (own - other)
    return basis


def uni_pc(trail: Trail, x: Array, *, variant: Variant = "bh1") -> Array:
    """Predict by the last pictures, and correct by the next, of the same order."""
    sigmas = [*trail.sigmas[:-1], trail.sigmas[-1] or UNIPC_LAST]
    steps = len(sigmas) - 1
    order = max(1, min(UNIPC_ORDER, steps - 1))
    pictures = [trail.denoise(x, sigmas[0])]
    for at in range(1, steps + 1):
        length = min(order, at, steps + 1 - at)
        step = _UniStep(sigmas, at, length, variant, pictures)
        x, corrected = step.predicted(x), x
        if at < steps:
            seen = trail.denoise(x, sigmas[at])
            x = step.corrected(corrected, seen)
            pictures = [*pictures, seen][-UNIPC_ORDER:]
    return x


class _UniStep:
    """A step of UniPC: what its predictor and its corrector share."""

    def __init__(
        self, sigmas: Sequence[float], at: int, order: int, variant: Variant, pictures: list[Array]
    ) -> None:
        self._kept = sigmas[at] / sigmas[at - 1]
        self._last = pictures[-1]
        stride = math.log(sigmas[at - 1] / sigmas[at])
        self._order = order
        self._scale = -stride if variant == "bh1" else math.expm1(-stride)
        # How far back the earlier pictures were, in strides, and how they differ from the last.
        self._back = [
            math.log(sigmas[at - 1] / sigmas[at - 1 - back]) / stride for back in range(1, order)
        ]
        self._changes = [
            (pictures[-1 - back] - self._last) / part
            for back, part in zip(range(1, order), self._back, strict=True)
        ]
        self._targets = self._phis(stride)

    def predicted(self, x: Array) -> Array:
        """Return the end without having seen the picture there."""
        count = self._order - 1
        # The second order's weight is a half in the paper's program.
        weights = [0.5] if count == 1 else self._solved(self._back, self._targets[:count])
        return self._stepped(x, weights, self._changes)

    def corrected(self, x: Array, seen: Array) -> Array:
        """Return the end once the picture there has been seen."""
        parts = [*self._back, 1.0]
        weights = [0.5] if self._order == 1 else self._solved(parts, self._targets)
        return self._stepped(x, weights, [*self._changes, seen - self._last])

    def _stepped(self, x: Array, weights: Sequence[float], changes: Sequence[Array]) -> Array:
        x = x * self._kept + self._last * (1 - self._kept)
        for weight, change in zip(weights, changes, strict=True):
            x = x - change * (weight * self._scale)
        return x

    def _phis(self, stride: float) -> list[float]:
        targets = []
        phi, factorial = math.expm1(-stride) / -stride - 1, 1
        for number in range(1, self._order + 1):
            targets.append(phi * factorial / self._scale)
            factorial *= number + 1
            phi = phi / -stride - 1 / factorial
        return targets

    def _solved(self, parts: Sequence[float], targets: Sequence[float]) -> list[float]:
        if not parts:
            return []
        powers = np.vander(parts, len(parts), increasing=True).T
        return [float(weight) for weight in np.linalg.solve(powers, np.array(targets))]
