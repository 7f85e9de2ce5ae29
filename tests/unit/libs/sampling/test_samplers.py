"""Samplers are the formulas they are named after, on any arrays."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from libs.sampling.levels import Chain, Flow
from libs.sampling.samplers import SAMPLERS, Trail
from tests.unit.libs.sampling.paths import PathNoise

LEVELS = Chain()
FLOW = Flow()
SIGMAS = (10.0, 4.0, 1.5, 0.6, 0.0)
FLOW_SIGMAS = (1.0, 0.8, 0.5, 0.2, 0.0)
NOISE = PathNoise(0)


class Sees:
    """A denoiser that sees what it is told, and without the text a tenth of that more."""

    def __init__(self, see) -> None:
        self.see = see

    def __call__(self, x, sigma) -> Any:
        return self.see(x, sigma)

    def both(self, x, sigma) -> Any:
        return self.see(x, sigma), self.see(x, sigma) + 0.1


def walked(name, see, x, sigmas=SIGMAS, levels=LEVELS, seed=0) -> Any:
    trail = Trail(denoise=Sees(see), sigmas=sigmas, levels=levels, noise=NOISE, seed=seed)
    return SAMPLERS[name].walk(trail, x)


def filled(value, shape=(1, 1, 1, 1)) -> Any:
    return np.full(shape, value, np.float64)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
@pytest.mark.parametrize(("sigmas", "levels"), [(SIGMAS, LEVELS), (FLOW_SIGMAS, FLOW)])
def test_every_sampler_arrives_at_the_picture_it_sees(name, sigmas, levels):
    x = filled(12.0, (1, 4, 2, 2))
    end = walked(name, lambda x, sigma: np.full_like(x, 2.0), x, sigmas, levels)
    # These stop above zero: at the last level but one, or at a thousandth.
    left = sigmas[-2] if name in ("dpm_fast", "dpm_adaptive") else 1e-3
    drawn = 12.0 / sigmas[0] * left
    assert end == pytest.approx(np.full_like(x, 2.0), abs=drawn)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_single_precision_stays_single(name):
    x = np.ones((1, 4, 2, 2), np.float32)
    assert walked(name, lambda x, sigma: x * 0.3, x).dtype == np.float32


@pytest.mark.parametrize("name", ["euler", "ddim"])
def test_euler_follows_the_slope(name):
    given = walked(name, lambda x, sigma: 0.3 * x, filled(12.0), SIGMAS[:-1])
    wanted = 12.0
    for here, there in pairwise(SIGMAS[:-1]):
        wanted += 0.7 * wanted / here * (there - here)
    assert given.item() == pytest.approx(wanted)


@pytest.mark.covers("R107")
def test_euler_ancestral_steps_too_far_and_adds_noise():
    x = filled(3.0, (1, 4, 3, 3))
    given = walked("euler_ancestral", lambda x, sigma: 0.3 * x, x, SIGMAS[:-1], seed=7)
    draw, wanted = NOISE.steps(7, x), x
    for here, there in pairwise(SIGMAS[:-1]):
        up = min(there, math.sqrt(there**2 * (here**2 - there**2) / here**2))
        down = math.sqrt(there**2 - up**2)
        wanted = wanted + 0.7 * wanted / here * (down - here) + draw() * up
    assert np.allclose(given, wanted, atol=1e-5)


def test_a_flow_keeps_its_variance_under_fresh_noise():
    x = filled(3.0, (1, 4, 3, 3))
    given = walked("euler_ancestral", lambda x, sigma: 0.3 * x, x, FLOW_SIGMAS[:-1], FLOW, seed=7)
    draw, wanted = NOISE.steps(7, x), x
    for here, there in pairwise(FLOW_SIGMAS[:-1]):
        down = there**2 / here
        keep = (1 - there) / (1 - down)
        wanted = down / here * wanted + (1 - down / here) * 0.3 * wanted
        wanted = keep * wanted + draw() * math.sqrt(there**2 - (down * keep) ** 2)
    assert np.allclose(given, wanted)


def test_heun_and_dpm_2_are_of_second_order():
    """Halving the step must divide the error by about four; Euler's by two."""
    exact = 12.0 * (1.0 / 10.0) ** 0.7

    def error(name, steps) -> Any:
        row = np.linspace(10.0, 1.0, steps + 1).tolist()
        return abs(walked(name, lambda x, sigma: 0.3 * x, filled(12.0), row).item() - exact)

    for name, least, most in (("euler", 1.6, 2.4), ("heun", 3.2, 5.0), ("dpm_2", 3.2, 5.0)):
        assert least < error(name, 40) / error(name, 80) < most


def test_dpmpp_2m_is_its_formula():
    given = walked("dpmpp_2m", lambda x, sigma: 0.3 * x + 0.1, filled(12.0))
    wanted, before = 12.0, None
    for at, (here, there) in enumerate(pairwise(SIGMAS)):
        seen = 0.3 * wanted + 0.1
        if there == 0:
            wanted = seen
            break
        stride = math.log(here / there)
        expected = seen
        if before is not None:
            last = math.log(SIGMAS[at - 1] / here)
            expected = seen + (seen - before) * stride / (2 * last)
        wanted = there / here * wanted - math.expm1(-stride) * expected
        before = seen
    assert given.item() == pytest.approx(wanted)


def test_lcm_puts_the_picture_under_fresh_noise():
    x = filled(3.0, (1, 4, 3, 3))
    given = walked("lcm", lambda x, sigma: 0.3 * x, x, seed=3)
    draw, wanted = NOISE.steps(3, x), x
    for there in SIGMAS[1:]:
        wanted = 0.3 * wanted
        if there > 0:
            wanted = wanted + draw() * there
    assert np.allclose(given, wanted)
