"""The measure of a video's time runs to its end on small networks, and judges by the card."""

from __future__ import annotations

from dataclasses import replace

import pytest

from libs.diffusion.placement import Placement
from tests.bench import videos
from tests.unit.libs.diffusion import tiny, tiny_video

MOTION = {
    "block_out_channels": (16, 32),
    "motion_layers_per_block": 1,
    "motion_norm_num_groups": 4,
}


@pytest.mark.covers("R382", "R383")
@pytest.mark.parametrize(
    ("name", "limit_seconds", "size", "make"),
    [
        ("SVD", 30.0, (14, 1024, 576), videos.svd(tiny_video.SVD_UNET, (32, 32, 32, 64), 1)),
        (
            "AnimateDiff",
            15.0,
            (16, 512, 512),
            videos.animatediff(tiny.SD1_UNET, MOTION, tiny.VAE),
        ),
    ],
)
def test_each_kind_is_measured_at_its_own_shape(name, limit_seconds, size, make):
    case = next(one for one in videos.CASES if one.name == name)
    assert (case.limit_seconds, (case.frames, case.width, case.height)) == (limit_seconds, size)
    small = replace(case, width=64, height=64, steps=2, make=make)
    figure = videos.measured(small, Placement.cpu(), factor=None)
    assert figure.seconds > 0
    assert figure.verdict == "not proven"


@pytest.mark.parametrize(
    ("card", "seconds", "verdict"),
    [
        ("NVIDIA A100-SXM4-80GB", 29.9, "kept"),
        ("NVIDIA A100-SXM4-80GB", 30.1, "missed"),
        ("NVIDIA H200", 9.0, "kept"),
        ("NVIDIA H200", 10.0, "missed"),
        ("NVIDIA GeForce RTX 4090", 1.0, "not proven"),
    ],
)
def test_the_limit_of_an_a100_is_judged_by_what_is_known_of_the_card(card, seconds, verdict):
    figure = videos.Figure(
        case=videos.CASES[0], seconds=seconds, peak_gib=0.0, factor=videos.factor_of(card)
    )
    assert figure.verdict == verdict
