"""Rows of noise levels are the formulas they are named after."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from libs.core.errors import Refused
from libs.sampling import sigmas
from libs.sampling.course import part_of_schedule
from libs.sampling.levels import Chain
from libs.sampling.schedules import SCHEDULES
from libs.sampling.sigmas import Row

LOW, HIGH = 0.03, 14.6
ROW = Row.of([10.0, 4.0, 1.5, 0.6, 0.0])


def test_a_row_is_split_where_a_sampler_ends():
    high, low = ROW.split(2)
    assert (high.levels, low.levels) == (ROW.levels[:3], ROW.levels[2:])
    high, low = ROW.split_by(0.5)
    assert (high.levels, low.levels) == (ROW.levels[:3], ROW.levels[2:])
    high, low = ROW.split_by(0.0)
    assert (high.levels, low.levels) == ((), (0.0,))


def test_a_flipped_row_begins_with_almost_nothing():
    assert ROW.flipped().levels[1:] == ROW.levels[-2::-1]
    assert ROW.flipped().levels[0] == pytest.approx(0.0001)
    assert Row(()).flipped() == Row(())


def test_a_row_may_begin_elsewhere():
    assert ROW.starting_at(20.0).levels == (20.0, *ROW.levels[1:])
    with pytest.raises(Refused):
        Row(()).starting_at(1.0)


def test_levels_are_put_between_others():
    refined = ROW.refined(2, 5.0, 1.0, "linear")
    assert refined.levels == pytest.approx((10.0, 4.0, 2.75, 1.5, 1.05, 0.6, 0.0))
    soft = ROW.refined(2, float("inf"), 9.0, "cosine").levels
    assert soft[1] == pytest.approx(10 - 6 * math.sin(math.pi / 4))


@pytest.mark.covers("R108")
def test_rows_without_a_model_follow_their_formulas():
    ramp = [step / 4 for step in range(5)]
    assert sigmas.karras(5, LOW, HIGH, 3.0).levels == pytest.approx(
        [*((HIGH ** (1 / 3) + part * (LOW ** (1 / 3) - HIGH ** (1 / 3))) ** 3 for part in ramp), 0],
        rel=1e-5,
    )
    assert sigmas.exponential(5, LOW, HIGH).levels == pytest.approx(
        [*(HIGH ** (1 - part) * LOW**part for part in ramp), 0]
    )
    assert sigmas.polyexponential(5, LOW, HIGH, 2.0).levels == pytest.approx(
        [*(LOW * (HIGH / LOW) ** ((1 - part) ** 2) for part in ramp), 0]
    )
    time = [1 + part * (0.001 - 1) for part in ramp]
    assert sigmas.variance_preserving(5, 19.9, 0.1, 0.001).levels == pytest.approx(
        [*(math.sqrt(math.exp(19.9 * t**2 / 2 + 0.1 * t) - 1) for t in time), 0], rel=1e-4
    )


def test_a_laplace_row_is_dense_around_its_middle():
    levels = sigmas.laplace(9, LOW, HIGH, 0.0, 0.5).levels
    assert len(levels) == 9
    assert levels[4] == pytest.approx(1.0)
    assert all(there <= here for here, there in pairwise(levels))
    assert max(levels) <= HIGH * (1 + 1e-6)
    steps = [math.log(here / there) for here, there in pairwise(levels)]
    assert min(steps) in steps[3:5]


def test_aligned_rows_pass_through_the_levels_that_were_found():
    ten = sigmas.aligned("SDXL", 10, 1.0).levels
    assert ten[:-1] == pytest.approx(sigmas.ALIGNED["SDXL"][:-1])
    assert ten[-1] == 0
    twenty = sigmas.aligned("SDXL", 20, 1.0).levels
    assert twenty[:-1:2] == pytest.approx(ten[:-1])
    assert sigmas.aligned("SDXL", 20, 0.5).levels == twenty[-11:]
    assert sigmas.aligned("SD1", 10, 0.0) == Row(())


def test_turbo_walks_every_hundredth_step():
    chain = Chain()
    levels = sigmas.turbo(chain, 2, 1.0).levels
    assert levels == pytest.approx((chain.sigmas[999], chain.sigmas[899], 0.0))
    assert sigmas.turbo(chain, 1, 0.5).levels[0] == pytest.approx(float(chain.sigmas[499]))


def test_levels_are_read_as_they_are_written():
    assert sigmas.written("14.5, 7 .5;1e").levels == (14.5, 7.0, 0.5, 1.0)


def test_what_has_no_logarithm_is_refused_by_name():
    with pytest.raises(Refused) as refused:
        sigmas.exponential(5, 0.0, HIGH)
    assert refused.value.facts["field"] == "sigma_min"
    with pytest.raises(Refused) as refused:
        sigmas.karras(5, LOW, HIGH, 0.0)
    assert refused.value.facts["field"] == "rho"


@pytest.mark.parametrize("name", ["karras", "ddim_uniform"])
def test_a_part_of_a_schedule_has_one_level_more_than_steps(name):
    def levels(steps) -> list[float]:
        return SCHEDULES[name](Chain(), steps)

    assert len(part_of_schedule(levels, 6, 1.0)) == 7
    assert part_of_schedule(levels, 10, 0.5) == levels(20)[-11:]
    assert part_of_schedule(levels, 10, 0.0) == []


def test_levels_are_single_precision():
    assert all(level == np.float32(level) for level in sigmas.karras(7, LOW, HIGH, 7.0).levels)
