"""Pictures are laid over each other by formulas that a reader can check."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from libs.core.errors import Refused
from libs.diffusion import compositing
from libs.diffusion.picture import Mask, Picture
from tests.unit.libs.diffusion.test_picture_arranging import noise, picture, plain


def test_a_picture_is_pasted_where_it_is_told_and_cut_at_the_edge():
    below, above = picture(2, 6, 7, 3), picture(1, 4, 4, 3, seed=2)
    laid = plain(below.pasted(above, 5, 3, None, resize=False))
    expected = plain(below).copy()
    expected[:, 3:6, 5:7] = plain(above)[:, :3, :2]
    assert np.array_equal(laid, expected)
    outside = below.pasted(above, 7, 99, None, resize=False)
    assert np.array_equal(plain(outside), plain(below))


def test_a_mask_says_how_much_is_seen_and_is_stretched_over_the_source():
    below, above = picture(1, 4, 4, 3), picture(1, 4, 4, 3, seed=2)
    laid = plain(below.pasted(above, 0, 0, Mask(torch.tensor([[[0.0, 1.0]]])), resize=False))
    share = np.array([0, 0.25, 0.75, 1])[None, None, :, None]
    assert np.allclose(laid, share * plain(above) + (1 - share) * plain(below), atol=1e-6)


def test_a_source_can_be_stretched_over_the_destination():
    below, above = picture(1, 4, 4, 3), Picture(torch.full((1, 2, 3, 3), 0.25))
    assert np.allclose(plain(below.pasted(above, 0, 0, None, resize=True)), 0.25)


def test_a_source_left_of_the_destination_is_seen_in_part():
    below, above = torch.zeros(1, 1, 4, 4), torch.arange(16.0).reshape(1, 1, 4, 4)
    laid = compositing.pasted(below, above, -16, -8, None, cell=8)
    assert torch.equal(laid[0, 0, :3, :2], above[0, 0, 1:, 2:])
    assert laid[0, 0, 3].sum() == laid[0, 0, :, 2:].sum() == 0


def lifted(one: Any) -> Any:
    return np.where(one <= 0.25, ((16 * one - 12) * one + 4) * one, np.sqrt(one))


BLENDS: dict[str, Any] = {
    "normal": lambda a, b: b,
    "multiply": lambda a, b: a * b,
    "screen": lambda a, b: a + b - a * b,
    "overlay": lambda a, b: np.where(a <= 0.5, 2 * a * b, 1 - 2 * (1 - a) * (1 - b)),
    "soft_light": lambda a, b: np.where(
        b <= 0.5, a - (1 - 2 * b) * a * (1 - a), a + (2 * b - 1) * (lifted(a) - a)
    ),
    "difference": lambda a, b: a - b,
}


@pytest.mark.parametrize("mode", BLENDS)
@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0])
def test_a_blend_is_its_formula(mode, factor):
    one, two = noise(2, 4, 5, 3).astype(float), noise(2, 4, 5, 3, seed=2).astype(float)
    mixed = np.clip(one * (1 - factor) + BLENDS[mode](one, two) * factor, 0, 1)
    made = picture(2, 4, 5, 3).blended(picture(2, 4, 5, 3, seed=2), mode, factor)
    assert np.allclose(plain(made), mixed, atol=1e-6)


def test_a_blend_brings_the_second_picture_to_the_first():
    one, grey = picture(2, 4, 4, 3), Picture(torch.full((1, 6, 9, 4), 0.5))
    made = one.blended(grey, "multiply", 1.0)
    assert np.allclose(plain(made), plain(one) * 0.5, atol=1e-6)


def union(s: Any, d: Any) -> Any:
    return s + d - s * d


# Colour and alpha out of multiplied colours cs, cd and alphas s, d, as Android documents them.
RULES: dict[str, Any] = {
    "ADD": (lambda cs, cd, s, d: np.clip(cs + cd, 0, 1), lambda s, d: np.clip(s + d, 0, 1)),
    "CLEAR": (lambda cs, cd, s, d: 0 * cs, lambda s, d: 0 * s),
    "DARKEN": (lambda cs, cd, s, d: (1 - d) * cs + (1 - s) * cd + np.minimum(cs, cd), union),
    "DST": (lambda cs, cd, s, d: cd, lambda s, d: d),
    "DST_ATOP": (lambda cs, cd, s, d: s * cd + (1 - d) * cs, lambda s, d: s),
    "DST_IN": (lambda cs, cd, s, d: cd * s, lambda s, d: s * d),
    "DST_OUT": (lambda cs, cd, s, d: (1 - s) * cd, lambda s, d: (1 - s) * d),
    "DST_OVER": (lambda cs, cd, s, d: cd + (1 - d) * cs, lambda s, d: d + (1 - d) * s),
    "LIGHTEN": (lambda cs, cd, s, d: (1 - d) * cs + (1 - s) * cd + np.maximum(cs, cd), union),
    "MULTIPLY": (lambda cs, cd, s, d: cs * cd, lambda s, d: s * d),
    "OVERLAY": (
        lambda cs, cd, s, d: np.where(d > 2 * cd, 2 * cs * cd, s * d - 2 * (d - cs) * (s - cd)),
        union,
    ),
    "SCREEN": (lambda cs, cd, s, d: cs + cd - cs * cd, union),
    "SRC": (lambda cs, cd, s, d: cs, lambda s, d: s),
    "SRC_ATOP": (lambda cs, cd, s, d: d * cs + (1 - s) * cd, lambda s, d: d),
    "SRC_IN": (lambda cs, cd, s, d: cs * d, lambda s, d: s * d),
    "SRC_OUT": (lambda cs, cd, s, d: (1 - d) * cs, lambda s, d: (1 - d) * s),
    "SRC_OVER": (lambda cs, cd, s, d: cs + (1 - s) * cd, lambda s, d: s + (1 - s) * d),
    "XOR": (
        lambda cs, cd, s, d: (1 - d) * cs + (1 - s) * cd,
        lambda s, d: (1 - d) * s + (1 - s) * d,
    ),
}


@pytest.mark.parametrize("mode", RULES)
def test_a_layer_rule_is_its_formula(mode):
    one, two = noise(2, 4, 5, 3), noise(3, 4, 5, 3, seed=2)
    s_mask, d_mask = noise(2, 4, 5, seed=3), noise(2, 4, 5, seed=4)
    s_mask[:, 0], d_mask[:, :2] = 1, 1
    s, d = 1 - s_mask[..., None].astype(float), 1 - d_mask[..., None].astype(float)
    colour, alpha = RULES[mode]
    out_alpha = alpha(s, d)
    out = colour(one * s, two[:2] * d, s, d)
    seen = np.where(out_alpha > 1e-5, out / np.where(out_alpha > 1e-5, out_alpha, 1), 0)
    masks = [Mask(torch.from_numpy(values)) for values in (s_mask, d_mask)]
    made, mask = Picture(torch.from_numpy(one)).composited(
        masks[0], Picture(torch.from_numpy(two)), masks[1], mode
    )
    assert np.allclose(plain(made), np.clip(seen, 0, 1), atol=1e-4)
    assert np.allclose(plain(mask), 1 - out_alpha[..., 0], atol=1e-6)


def test_layers_are_brought_to_the_destination():
    source, empty = Picture(torch.full((1, 3, 9, 3), 0.75)), Mask(torch.zeros(1, 2, 2))
    made, mask = source.composited(empty, picture(1, 4, 5, 3), empty, "SRC_OVER")
    assert np.allclose(plain(made), 0.75, atol=1e-6)
    assert np.allclose(plain(mask), 0, atol=1e-6)
    with pytest.raises(Refused, match="same channels"):
        source.composited(empty, picture(1, 4, 5, 4), empty, "SRC")
