"""DPM-Solver of orders one to three, with given steps or with its own (Lu et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from array_api_compat import array_namespace

from libs.core.errors import Refused
from libs.sampling.levels import Array
from libs.sampling.samplers.trail import Trail, added_split, root

# Nothing changes closer to the end than this.
ARRIVED: Final = 1e-5
LOOKS_MAX: Final = 10_000


@dataclass(frozen=True, eq=False)
class _Stretch:
    """A step in logarithmic time, and the noise seen at its start."""

    trail: Trail
    x: Array
    start: float
    end: float
    noise: Array

    def at(self, part: float) -> float:
        return math.exp(-(self.start + part * (self.end - self.start)))

    def reached(self, part: float) -> Array:
        """Return the latent at a part of the step, if the noise seen does not change."""
        return self.x - self.noise * (self.at(part) * self._gone(part))

    def change(self, x: Array, part: float) -> Array:
        """Return how the noise seen there differs from that at the start."""
        return _noise(self.trail, x, self.at(part)) - self.noise

    def first(self) -> Array:
        return self.reached(1)

    def second(self, change: Array, part: float) -> Array:
        return self.reached(1) - change * (self.at(1) / (2 * part) * self._gone(1))

    def third(self, change: Array) -> Array:
        """Return the end by what changed at a third of the step, and then at two thirds."""
        probe = self.reached(2 / 3) - change * (self.at(2 / 3) * 2 * self._bent(2 / 3))
        later = self.change(probe, 2 / 3)
        return self.reached(1) - later * (self.at(1) / (2 / 3) * self._bent(1))

    def _gone(self, part: float) -> float:
        return math.expm1(part * (self.end - self.start))

    def _bent(self, part: float) -> float:
        return self._gone(part) / (part * (self.end - self.start)) - 1


def _noise(trail: Trail, x: Array, sigma: float) -> Array:
    return (x - trail.denoise(x, sigma)) / sigma


def _ends(trail: Trail) -> tuple[float, float]:
    """Return where in logarithmic time to start and end: short of no noise at all."""
    first, last = trail.sigmas[0], trail.sigmas[-1] or trail.sigmas[-2]
    if not 0 < last <= first:
        raise Refused(
            "this sampler walks down levels above zero", field="sigmas", first=first, last=last
        )
    return -math.log(first), -math.log(last)


def dpm_fast(trail: Trail, x: Array, *, eta: float = 0.0, s_noise: float = 1.0) -> Array:
    """Look as often as there are levels: in steps of order three, the rest in shorter ones."""
    if len(trail.sigmas) < 2:  # noqa: PLR2004
        return x
    draw = trail.draws(x)
    looks = len(trail.sigmas) - 1
    start, end = _ends(trail)
    times = np.linspace(start, end, looks // 3 + 2).tolist()
    whole = len(times) - 2
    orders = [3] * (whole - 1) + [2, 1] if looks % 3 == 0 else [3] * whole + [looks % 3]
    for time, there, order in zip(times[:-1], times[1:], orders, strict=True):
        aim, up = _split(time, there, end, eta)
        stretch = _Stretch(trail, x, time, aim, _noise(trail, x, math.exp(-time)))
        x = _of_order(stretch, order)
        if up:
            x = x + draw() * (up * s_noise)
    return x


def _of_order(stretch: _Stretch, order: int) -> Array:
    if order == 1:
        return stretch.first()
    part = 1 / order
    change = stretch.change(stretch.reached(part), part)
    return stretch.third(change) if order == 3 else stretch.second(change, part)  # noqa: PLR2004


def _split(time: float, there: float, end: float, eta: float) -> tuple[float, float]:
    """Return where to step, and how much fresh noise leads back to `there`."""
    if not eta:
        return there, 0.0
    aimed = math.exp(-there)
    down = added_split(math.exp(-time), aimed, eta).down
    aim = min(end, -math.log(down)) if down > 0 else end
    return aim, root(aimed**2 - math.exp(-2 * aim))


@dataclass
class _Pace:
    """Chooses the length of steps by the errors of the last three (a PID controller)."""

    length: float
    order: float
    weights: tuple[float, float, float]
    safety: float
    errors: list[float] = field(default_factory=list)

    def accepts(self, error: float) -> bool:
        inverse = 1 / (error + 1e-8)
        self.errors = self.errors or [inverse] * 3
        self.errors[0] = inverse
        part, whole, difference = self.weights
        powers = (part + whole + difference, -(part + 2 * difference), difference)
        factor = math.prod(
            one ** (power / self.order) for one, power in zip(self.errors, powers, strict=True)
        )
        factor = 1 + math.atan(factor - 1)
        accepted = factor >= self.safety
        if accepted:
            self.errors = [self.errors[0], self.errors[0], self.errors[1]]
        self.length *= factor
        return accepted


def dpm_adaptive(  # noqa: PLR0913
    trail: Trail,
    x: Array,
    *,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h_init: float = 0.05,
    pcoeff: float = 0.0,
    icoeff: float = 1.0,
    dcoeff: float = 0.0,
    accept_safety: float = 0.81,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Array:
    """Choose the steps as it goes: as long as two orders agree about where they lead."""
    if len(trail.sigmas) < 2:  # noqa: PLR2004
        return x
    draw = trail.draws(x)
    time, end = _ends(trail)
    weights = (pcoeff, icoeff, dcoeff)
    pace = _Pace(abs(h_init), 1.5 if eta else order, weights, accept_safety)
    previous, error_of = x, _error(rtol, atol)
    for _ in range(LOOKS_MAX):
        if time >= end - ARRIVED:
            return x
        there = min(end, time + pace.length)
        aim, up = _split(time, there, end, eta)
        stretch = _Stretch(trail, x, time, aim, _noise(trail, x, math.exp(-time)))
        low, high = _both_orders(stretch, order)
        if pace.accepts(error_of(low, high, previous)):
            previous, x, time = low, high, there
            if up:
                x = x + draw() * (up * s_noise)
    raise Refused(
        "the tolerances ask for more steps than a course may have",
        field="rtol",
        received=rtol,
        maximum=LOOKS_MAX,
    )


def _both_orders(stretch: _Stretch, order: int) -> tuple[Array, Array]:
    if order == 2:  # noqa: PLR2004
        return stretch.first(), _of_order(stretch, 2)
    change = stretch.change(stretch.reached(1 / 3), 1 / 3)
    return stretch.second(change, 1 / 3), stretch.third(change)


def _error(rtol: float, atol: float) -> Callable[[Array, Array, Array], float]:
    def error(low: Array, high: Array, previous: Array) -> float:
        xp = array_namespace(low)
        largest = xp.maximum(xp.abs(low), xp.abs(previous)) * rtol
        allowed = xp.maximum(largest, xp.zeros_like(largest) + atol)
        found = math.sqrt(float(xp.mean(((low - high) / allowed) ** 2)))
        if not math.isfinite(found):
            raise Refused("what the model sees is no number any more", field="sampler_name")
        return found

    return error
