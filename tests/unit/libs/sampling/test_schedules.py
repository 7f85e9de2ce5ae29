"""Schedules are the formulas they are named after, and courses are cut out of them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
from scipy.stats import beta

from libs.core.errors import Refused
from libs.nodes.courses import SamplerName, SchedulerName
from libs.sampling.course import Course, starts_from_pure_noise
from libs.sampling.levels import Chain, sigma_max, sigma_min
from libs.sampling.samplers import SAMPLERS
from libs.sampling.schedules import SCHEDULES

LEVELS = Chain()
TABLE = LEVELS.sigmas.astype(np.float64)


def course(**changed) -> Any:
    given: dict[str, Any] = {
        "seed": 1,
        "steps": 10,
        "cfg": 7.0,
        "sampler": "euler",
        "scheduler": "normal",
    }
    return Course(**(given | changed))


def test_the_nodes_offer_exactly_what_is_implemented():
    assert get_args(SamplerName) == tuple(SAMPLERS)
    assert get_args(SchedulerName) == tuple(SCHEDULES)


def test_the_table_of_levels_is_the_scaled_linear_chain():
    levels, product = [], 1.0
    for step in range(1000):
        root = math.sqrt(0.00085) + (math.sqrt(0.012) - math.sqrt(0.00085)) * step / 999
        product *= 1 - root**2
        levels.append(math.sqrt((1 - product) / product))
    assert pytest.approx(levels, rel=2e-6) == TABLE.tolist()
    assert sigma_max(LEVELS) == pytest.approx(14.6146, abs=1e-4)
    assert sigma_min(LEVELS) == pytest.approx(0.0292, abs=1e-4)


def test_a_timestep_is_the_nearest_trained_one():
    for step in (0, 1, 500, 998, 999):
        level = float(LEVELS.sigmas[step])
        assert LEVELS.timestep(level * 1.0001) == step
        assert LEVELS.sigma(float(step)) == pytest.approx(level)


def test_parts_of_the_course_are_levels():
    assert LEVELS.sigma_at(0.0) > 1e8
    assert LEVELS.sigma_at(1.0) == 0.0
    assert LEVELS.sigma_at(0.5) == pytest.approx(float(TABLE[499] * TABLE[500]) ** 0.5, rel=1e-5)


@pytest.mark.covers("R108")
@pytest.mark.parametrize("steps", [1, 2, 10, 30])
def test_karras_is_its_formula(steps):
    low, high = float(TABLE[0]) ** (1 / 7), float(TABLE[-1]) ** (1 / 7)
    ramp = [step / (steps - 1) if steps > 1 else 0.0 for step in range(steps)]
    wanted = [*((high + share * (low - high)) ** 7 for share in ramp), 0.0]
    given = SCHEDULES["karras"](LEVELS, steps)
    assert given == pytest.approx(wanted, rel=2e-5)


@pytest.mark.parametrize("steps", [2, 7, 20, 50])
def test_exponential_is_even_in_the_logarithm(steps):
    given = SCHEDULES["exponential"](LEVELS, steps)
    falls = np.diff(np.log(given[:-1]))
    assert falls == pytest.approx([falls[0]] * (steps - 1), abs=1e-5)
    assert given[0] == pytest.approx(float(TABLE[-1]), rel=1e-5)


def test_normal_and_sgm_uniform_are_even_in_the_trained_steps():
    nine = [999 - number * 999 / 9 for number in range(10)]
    for name, wanted in (
        ("normal", nine),
        ("sgm_uniform", [999 - number * 999 / 10 for number in range(10)]),
    ):
        given = SCHEDULES[name](LEVELS, 10)
        levels = [LEVELS.sigma(step) for step in wanted] + [0.0]
        assert given == pytest.approx(levels, rel=1e-4)


def test_simple_takes_every_nth_level():
    given = SCHEDULES["simple"](LEVELS, 7)
    wanted = [TABLE[-(1 + int(step * (1000 / 7)))] for step in range(7)] + [0.0]
    assert given == pytest.approx([float(level) for level in wanted])


def test_ddim_uniform_may_hold_more_levels_than_steps():
    given = SCHEDULES["ddim_uniform"](LEVELS, 6)
    wanted = [0.0, *(float(TABLE[at]) for at in range(1, 1000, 166))][::-1]
    assert given == pytest.approx(wanted)
    assert len(given) == 6 + 2


def test_beta_follows_its_distribution_without_repeating():
    given = SCHEDULES["beta"](LEVELS, 10)
    at = [round(float(beta.ppf(1 - number / 10, 0.6, 0.6)) * 999) for number in range(10)]
    assert given == pytest.approx([float(TABLE[step]) for step in at] + [0.0])
    assert len(SCHEDULES["beta"](LEVELS, 900)) < 901


@pytest.mark.parametrize("name", sorted(SCHEDULES))
@pytest.mark.parametrize("steps", [1, 3, 20, 200])
def test_every_schedule_falls_from_the_top_to_zero(name, steps):
    given = SCHEDULES[name](LEVELS, steps)
    assert given[-1] == 0
    assert all(there < here for here, there in pairwise(given))
    assert given[0] <= sigma_max(LEVELS) * (1 + 1e-5)
    assert all(level == np.float32(level) for level in given)


def test_the_levels_of_a_chain_rescaled_to_end_in_noise():
    rescaled = Chain("v", zero_terminal_snr=True)
    assert sigma_max(rescaled) == pytest.approx(4518.76, rel=1e-3)
    assert sigma_min(rescaled) == pytest.approx(sigma_min(LEVELS), rel=1e-5)


def test_v_prediction_is_turned_into_the_picture():
    (clean, noise), sigma = np.random.default_rng(1).normal(size=(2, 2, 4, 3, 3)), 2.5
    root = (1 + sigma**2) ** 0.5
    velocity = (noise - sigma * clean) / root
    noisy = clean + sigma * noise
    seen = Chain("v").denoised(noisy, velocity, sigma)
    assert np.allclose(seen, clean, atol=1e-5)
    assert np.allclose(Chain().denoised(noisy, noise, sigma), clean, atol=1e-5)


@pytest.mark.covers("R103")
def test_less_denoise_walks_the_end_of_a_longer_course():
    whole = course(steps=20).sigmas(LEVELS)
    half = course(steps=10, denoise=0.5).sigmas(LEVELS)
    assert half == whole[-11:]
    assert not starts_from_pure_noise(LEVELS, half[0])
    assert starts_from_pure_noise(LEVELS, whole[0])
    assert len(course(denoise=0.0).sigmas(LEVELS)) == 0


@pytest.mark.covers("R103")
def test_two_stages_walk_one_course():
    whole = course(steps=8).sigmas(LEVELS)
    first = course(steps=8, last_step=5, keep_noise=True).sigmas(LEVELS)
    second = course(steps=8, first_step=5).sigmas(LEVELS)
    assert [*first, *second[1:]] == whole
    assert course(steps=8, last_step=5).sigmas(LEVELS)[-1] == 0
    assert len(course(steps=8, first_step=8).sigmas(LEVELS)) == 0


def test_samplers_that_look_twice_leave_the_penultimate_level_out():
    given = course(sampler="dpm_2", steps=6).sigmas(LEVELS)
    full = SCHEDULES["normal"](LEVELS, 7)
    assert given == [*full[:-2], *full[-1:]]


def test_what_cannot_be_laid_out_is_refused_with_the_field():
    for changed, field in (
        ({"sampler": "warp"}, "sampler_name"),
        ({"scheduler": "warp"}, "scheduler"),
        ({"denoise": 1e-9}, "denoise"),
    ):
        with pytest.raises(Refused) as refused:
            course(**changed).sigmas(LEVELS)
        assert refused.value.facts["field"] == field
