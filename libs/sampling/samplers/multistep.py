"""One look per step, and a memory of the last ones.

Liu et al. (2022, PNDM), Zhang and Chen (2022, DEIS), Zhang et al. (2023, exponential multistep).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.polynomial import Polynomial

from libs.sampling.levels import Array
from libs.sampling.samplers.trail import Trail, added_split

LMS_ORDER: Final = 4
DEIS_ORDER: Final = 3
# Adams and Bashforth's weights for even steps, the latest slope first.
EVEN_WEIGHTS: Final = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
# The chain in whose time DEIS expects slopes to be polynomials, and how finely it is integrated.
CHAIN_LOW: Final = 0.002
CHAIN_HIGH: Final = 80.0
CHAIN_FIRST: Final = 1e-3
INTEGRATION_POINTS: Final = 10_000


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


def ipndm(trail: Trail, x: Array) -> Array:
    """Follow the last slopes as if the steps were even."""
    slopes: list[Array] = []
    for here, there in trail.steps():
        slopes.append((x - trail.denoise(x, here)) / here)
        weights = EVEN_WEIGHTS[0] if there == 0 else EVEN_WEIGHTS[min(len(slopes), 4) - 1]
        x = _weighted(x, slopes, [weight * (there - here) for weight in weights])
    return x


def ipndm_v(trail: Trail, x: Array) -> Array:
    """Follow the last slopes by how long their steps were."""
    slopes: list[Array] = []
    for at, (here, there) in enumerate(trail.steps()):
        slopes.append((x - trail.denoise(x, here)) / here)
        strides = [
            trail.sigmas[at + 1 - back] - trail.sigmas[at - back]
            for back in range(min(len(slopes), 4))
        ]
        weights = (1.0,) if there == 0 else _uneven_weights(strides)
        x = _weighted(x, slopes, [weight * strides[0] for weight in weights])
    return x


def _weighted(x: Array, slopes: list[Array], weights: Sequence[float]) -> Array:
    """Add the last slopes, the latest first, each by its weight; forget what is too old."""
    for weight, slope in zip(weights, reversed(slopes), strict=False):
        x = x + slope * weight
    del slopes[:-3]
    return x


def _uneven_weights(strides: Sequence[float]) -> tuple[float, ...]:
    """Return the weights of iPNDM for steps of these lengths, the latest first.

    They are those of its authors' program, in which the third order's correction is not the
    polynomial's integral.
    """
    if len(strides) == 1:
        return (1.0,)
    now, one = strides[0], strides[1]
    first, second = 1 + now / one / 2, -now / one / 2
    if len(strides) == 2:  # noqa: PLR2004
        return first, second
    two = strides[2]
    third = (1 - now * now / (3 * one * (one + two))) / 2
    bent = one / two
    if len(strides) == 3:  # noqa: PLR2004
        return first + third, second - (1 + bent) * third, bent * third
    three = strides[3]
    share = (1 - now / (3 * (now + one))) / 2
    share += (1 - now / (2 * (now + one))) * now / (6 * (now + one + two))
    fourth = share * now * (now + one) * (now + one + two)
    fourth /= one * (one + two) * (one + two + three)
    curved = one * (one + two) / (two * (two + three))
    return (
        first + third + fourth,
        second - (1 + bent) * third - (1 + bent + curved) * fourth,
        bent * third + (bent + curved * (1 + two / three)) * fourth,
        -fourth * curved * bent,
    )


def deis(trail: Trail, x: Array) -> Array:
    """Follow the polynomial through the last slopes, in the time of a chain."""
    slopes: list[Array] = []
    for at, (here, there) in enumerate(trail.steps()):
        slopes.append((x - trail.denoise(x, here)) / here)
        order = min(len(slopes), DEIS_ORDER) if there > 0 else 1
        shares = [there - here] if order == 1 else _chain_shares(trail.sigmas, at, order)
        x = _weighted(x, slopes, shares)
    return x


def _chain_shares(sigmas: Sequence[float], at: int, order: int) -> list[float]:
    """Return the integrals over the step, in levels, of polynomials in the chain's time.

    The sum is over points that both ends belong to, each as wide as if one did not: that is how
    the pictures this engine is held to were made.
    """
    span = math.log(CHAIN_HIGH**2 + 1)
    slope = 2 * (math.log(CHAIN_LOW**2 + 1) / CHAIN_FIRST - span) / (CHAIN_FIRST - 1)
    start = span - slope / 2

    def time(sigma: float) -> float:
        return (math.sqrt(start**2 + 2 * slope * math.log(sigma**2 + 1)) - start) / slope

    known = [time(sigmas[at - back]) for back in range(order)]
    times = np.linspace(known[0], time(sigmas[at + 1]), INTEGRATION_POINTS)
    variance = np.expm1(slope * times**2 / 2 + start * times)
    speed = (slope * times + start) * (variance + 1) / (2 * np.sqrt(variance))
    width = (times[-1] - times[0]) / INTEGRATION_POINTS
    shares = []
    for own in known:
        basis = np.prod([(times - one) / (own - one) for one in known if one != own], axis=0)
        shares.append(float(np.sum(speed * basis) * width))
    return shares


def res_multistep(trail: Trail, x: Array, *, eta: float = 0.0, s_noise: float = 1.0) -> Array:
    """Step exactly for a picture that changes as between the last two looks."""
    return _exponential(trail, x, eta, s_noise, cfg_pp=False)


def res_multistep_cfg_pp(
    trail: Trail, x: Array, *, eta: float = 0.0, s_noise: float = 1.0
) -> Array:
    """Do the same with what is seen without the text, from a latent moved by the guidance."""
    return _exponential(trail, x, eta, s_noise, cfg_pp=True)


def _exponential(trail: Trail, x: Array, eta: float, s_noise: float, *, cfg_pp: bool) -> Array:
    draw = trail.draws(x)
    before: Array | None = None
    down_before = 0.0
    for at, (here, there) in enumerate(trail.steps()):
        seen, followed = trail.denoise.both(x, here) if cfg_pp else (trail.denoise(x, here), None)
        followed = seen if followed is None else followed
        step = added_split(here, there, eta)
        if step.down == 0 or before is None:
            x = seen + (x - followed) * (step.down / here)
        else:
            stride = math.log(here / step.down)
            part = math.log(down_before / trail.sigmas[at - 1]) / stride
            now, then = _exponential_weights(stride, part)
            moved = x + (seen - followed) if cfg_pp else x
            x = moved * math.exp(-stride) + followed * now + before * then
        if there > 0 and step.up:
            x = x + draw() * (s_noise * step.up)
        before, down_before = followed, step.down
    return x


def _exponential_weights(stride: float, part: float) -> tuple[float, float]:
    """Return what the picture now and the one before count; `part` is how far back it was."""
    first = -math.expm1(-stride) / stride
    second = (1 - first) / stride
    if part == 0:
        return 0.0, 0.0
    then = second / part
    return stride * (first - then), stride * then
