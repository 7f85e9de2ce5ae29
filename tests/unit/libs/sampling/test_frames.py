"""Guidance that differs from frame to frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from libs.sampling.frames import by_frame
from libs.sampling.guidance import Seen


def scales(course: Any, shape: tuple[int, ...]) -> list[float]:
    """Return what one minus zero is multiplied with, per frame."""
    ones = np.ones(shape, np.float32)
    mixed = by_frame(course, 1.0)(Seen(ones, 1.0, ones, 0 * ones), 3.0)
    frames = mixed if mixed.ndim == 4 else np.moveaxis(mixed[0], 1, 0)
    return [float(frame.flat[0]) for frame in frames]


def test_it_rises_from_the_first_frame_to_the_last():
    assert scales("rising", (5, 4, 2, 2)) == pytest.approx([1.0, 1.5, 2.0, 2.5, 3.0])


def test_it_rises_to_the_middle_and_falls_again():
    assert scales("triangle", (5, 4, 2, 2)) == pytest.approx([1.0, 2.0, 3.0, 2.0, 1.0])


@pytest.mark.parametrize("course", ["rising", "triangle"])
def test_latents_of_videos_have_a_side_for_frames(course):
    assert scales(course, (1, 4, 5, 2, 2)) == pytest.approx(scales(course, (5, 4, 2, 2)))


def test_without_a_negative_it_is_what_was_seen():
    ones = np.ones((5, 4, 2, 2), np.float32)
    assert by_frame("rising", 2.0)(Seen(ones, 1.0, ones, None), 1.0) is ones
