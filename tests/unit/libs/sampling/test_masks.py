"""A mask that opens as the course goes on lets white places be painted first."""

from __future__ import annotations

import numpy as np
import pytest

from libs.sampling.levels import Chain, Flow
from libs.sampling.masks import differential

MASK = np.array([0.0, 0.25, 0.5, 0.75, 1.0], np.float32)


@pytest.mark.parametrize("levels", [Chain(), Flow(shift=1.0)])
def test_a_place_opens_once_the_rest_of_the_course_is_as_dark_as_it(levels):
    sigmas = [levels.sigma_at(part) if part else float(levels.sigmas[-1]) for part in (0, 0.3, 0.6)]
    sigmas.append(0.0)
    mask_at = differential()
    opened = [mask_at(MASK, sigma, sigmas, levels) for sigma in sigmas[:3]]
    assert opened[0].tolist() == [0, 0, 0, 0, 1]
    # Seven and four tenths of the course are left.
    assert opened[1].tolist() == [0, 0, 0, 1, 1]
    assert opened[2].tolist() == [0, 0, 1, 1, 1]
    assert all(one.dtype == np.float32 for one in opened)


def test_at_the_end_all_that_is_marked_is_open():
    levels = Chain()
    sigmas = [float(levels.sigmas[-1]), float(levels.sigmas[0])]
    assert differential()(MASK, sigmas[1], sigmas, levels).tolist() == [1, 1, 1, 1, 1]


def test_less_strength_mixes_the_plain_mask_in():
    levels = Chain()
    sigmas = [float(levels.sigmas[-1]), 0.0]
    mixed = differential(0.5)(MASK, sigmas[0], sigmas, levels)
    assert mixed.tolist() == pytest.approx([0.0, 0.125, 0.25, 0.375, 1.0])
