"""One look per step, and a memory of the last ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from numpy.polynomial import Polynomial

from libs.sampling.levels import Array
from libs.sampling.samplers.trail import Trail

LMS_ORDER: Final = 4


def lms(trail: Trail, x: Array, *, order: int = LMS_ORDER) -> Array:
    """Follow the polynomial through the last slopes."""
    slopes: list[Array] = []
    for at, (here, _) in enumerate(trail.steps()):
        slopes.append((x - trail.denoise(x, here)) / here)
        del slopes[:-order]
        shares = polynomial_shares(trail.sigmas, at, len(slopes))
        for share, slope in zip(shares, reversed(slopes), strict=True):
            x = x + slope * share
    return x


def polynomial_shares(levels: Sequence[float], at: int, order: int) -> list[float]:
    """Return what each of the last slopes, the latest first, contributes to the step from `at`.

    That is the integral over the step of the polynomial that is one at its own level and zero at
    the others'.
    """
    known = [levels[at - back] for back in range(order)]
    shares = []
    for own in known:
        basis = Polynomial([1.0])
        for other in known:
            if other != own:
                basis = basis * Polynomial([-other, 1.0]) / (own - other)
        integral = basis.integ()
        shares.append(float(integral(levels[at + 1]) - integral(levels[at])))
    return shares
