"""ESRGAN's networks are read off their tensors, whatever these are called; large pictures in tiles."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion import upscale
from libs.diffusion.feathering import OVERLAP_PIXELS, feathered, places
from libs.diffusion.picture import Picture
from libs.diffusion.rrdb import RrdbNetwork, build_rrdb
from libs.diffusion.upscale import build_upscaler
from tests.unit.libs.diffusion import tiny


def tensors(**shape: int) -> Any:
    """Return a small network's tensors under the names of Real-ESRGAN."""
    torch.manual_seed(7)
    form = {"width": 8, "growth": 4, "blocks": 2, "doublings": 2, "folded": 1} | shape
    return RrdbNetwork(**form).state_dict()


def second_release(named: Any) -> Any:
    table = [
        (r"body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2"), (r"conv_body", "trunk_conv"),
        (r"conv_up", "upconv"), (r"conv_hr", "HRconv"),
    ]  # fmt: skip
    return {_changed(name, table): tensor for name, tensor in named.items()}


def first_release(named: Any, tail: dict[str, str]) -> Any:
    blocks = 1 + max(int(name.split(".")[1]) for name in named if name.startswith("body."))
    table = [
        (r"body\.(\d+)\.rdb(\d)\.conv(\d)", r"model.1.sub.\1.RDB\2.conv\3.0"),
        (r"conv_body", f"model.1.sub.{blocks}"), (r"conv_first", "model.0"), *tail.items(),
    ]  # fmt: skip
    return {_changed(name, table): tensor for name, tensor in named.items()}


def _changed(name: str, table: list[tuple[str, str]]) -> str:
    for old, new in table:
        name = re.sub(f"^{old}", new, name)
    return name


def drawn(named: Any, pixels: Any) -> Any:
    """Return what the published network does with its tensors, written out plainly."""

    def conv(name: str, x: Any) -> Any:
        return functional.conv2d(x, named[f"{name}.weight"], named[f"{name}.bias"], padding=1)

    def bent(x: Any) -> Any:
        return torch.where(x > 0, x, 0.2 * x)

    first = conv("conv_first", pixels)
    deep = first
    for block in range(2):
        before = deep
        for part in range(1, 4):
            at = f"body.{block}.rdb{part}.conv"
            x1 = bent(conv(f"{at}1", deep))
            x2 = bent(conv(f"{at}2", torch.cat((deep, x1), 1)))
            x3 = bent(conv(f"{at}3", torch.cat((deep, x1, x2), 1)))
            x4 = bent(conv(f"{at}4", torch.cat((deep, x1, x2, x3), 1)))
            deep = deep + 0.2 * conv(f"{at}5", torch.cat((deep, x1, x2, x3, x4), 1))
        deep = before + 0.2 * deep
    x = first + conv("conv_body", deep)
    for number in (1, 2):
        doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = bent(conv(f"conv_up{number}", doubled))
    return conv("conv_last", bent(conv("conv_hr", x)))


PIXELS = torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(1))
X4 = {"conv_up1": "model.3", "conv_up2": "model.6", "conv_hr": "model.8", "conv_last": "model.10"}
X2 = {"conv_up1": "model.3", "conv_hr": "model.5", "conv_last": "model.7"}
X1 = {"conv_hr": "model.2", "conv_last": "model.4"}


def test_a_network_draws_what_its_formula_says():
    named = tensors()
    made = build_upscaler(named)
    assert made.factor == 4
    assert torch.allclose(made(PIXELS), drawn(named, PIXELS), atol=1e-5)


@pytest.mark.parametrize(
    "layout", [second_release, lambda named: first_release(named, X4)], ids=["second", "first"]
)
def test_older_names_make_the_same_network(layout):
    named = tensors()
    assert torch.equal(build_upscaler(layout(named))(PIXELS), build_upscaler(named)(PIXELS))


@pytest.mark.parametrize(("doublings", "tail", "factor"), [(1, X2, 2), (0, X1, 1)])
def test_the_factor_is_read_off_the_tensors(doublings, tail, factor):
    made = build_upscaler(first_release(tensors(doublings=doublings), tail))
    assert made.factor == factor
    assert made(PIXELS).shape == (1, 3, 6 * factor, 5 * factor)


@pytest.mark.parametrize(("folded", "factor"), [(2, 2), (4, 1)])
def test_a_network_that_folds_pixels_takes_odd_sizes(folded, factor):
    made = build_upscaler(tensors(folded=folded))
    assert made.factor == factor
    assert made(PIXELS).shape == (1, 3, 6 * factor, 5 * factor)
    whole = PIXELS[..., :4, :4]
    unfolded = functional.pixel_unshuffle(whole, folded)
    assert torch.allclose(made(whole), drawn(tensors(folded=folded), unfolded), atol=1e-5)


def test_a_file_with_holes_is_refused():
    named = tensors()
    del named["body.0.rdb1.conv1.weight"]
    with pytest.raises(Refused, match="not whole"):
        build_rrdb(named)
    with pytest.raises(Refused, match="do not fit"):
        build_rrdb({name: t for name, t in tensors().items() if name != "conv_hr.bias"})


def test_tiles_cover_a_side_and_overlap():
    assert places(512, 512, 32) == [slice(0, 512)]
    spans = places(1100, 512, 32)
    assert spans == [slice(0, 512), slice(480, 992), slice(960, 1100)]


def test_tiles_fade_into_each_other_without_a_seam():
    tall = torch.rand(1, 3, 90, 140, generator=torch.Generator().manual_seed(2))

    def doubled(part: Any) -> Any:
        assert max(part.shape[-2:]) <= 64
        return part.repeat_interleave(2, 2).repeat_interleave(2, 3)

    made = feathered(tall, doubled, tile=64, factor=2)
    assert torch.allclose(made, tall.repeat_interleave(2, 2).repeat_interleave(2, 3), atol=1e-6)


def test_where_tiles_differ_the_picture_goes_over_from_one_to_the_other():
    shades = iter((0.0, 1.0))
    made = feathered(torch.zeros(1, 3, 8, 96), lambda part: part + next(shades), tile=64, factor=1)[
        0, 0, 0
    ]
    middle = made[64 - OVERLAP_PIXELS : 64]
    assert (made[: 64 - OVERLAP_PIXELS] == 0).all()
    assert (made[64:] == 1).all()
    assert (middle.diff() > 0).all()


def test_a_large_picture_is_enlarged_in_tiles_and_each_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(upscale, "TILE_PIXELS", 48)
    path = tmp_path / "x4.safetensors"
    save_file(tensors(), path)
    steps: list[tuple[int, int]] = []
    model = tiny.loader().upscale_model(path)
    large = Picture(torch.rand(2, 40, 70, 4, generator=torch.Generator().manual_seed(3)))
    made = model.upscale(large, lambda value, total, preview=None: steps.append((value, total)))
    assert made.pixels.shape == (2, 160, 280, 3)
    assert steps == [(number, 6) for number in range(1, 7)]
    assert bool(torch.isfinite(made.pixels).all())
    small = Picture(large.pixels[:1, :40, :40])
    whole = model.upscale(small, lambda value, total, preview=None: None)
    expected = drawn(tensors(), small.pixels[..., :3].movedim(-1, 1)).clamp(0, 1)
    assert torch.allclose(whole.pixels.movedim(-1, 1), expected, atol=1e-5)
