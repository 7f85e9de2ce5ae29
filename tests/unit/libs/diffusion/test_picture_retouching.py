"""Softness, palettes and colours, each against its formula in plain numbers; masks too."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from libs.core.errors import Refused
from libs.diffusion import retouching
from libs.diffusion.picture import Mask, Picture
from tests.unit.libs.diffusion.test_picture_arranging import noise, picture, plain


def bell(radius: int, sigma: float) -> Any:
    axis = np.linspace(-1, 1, radius * 2 + 1)
    x, y = np.meshgrid(axis, axis)
    kernel = np.exp(-(x * x + y * y) / (2 * sigma * sigma))
    return kernel / kernel.sum()


def convolved(pixels: Any, kernel: Any) -> Any:
    """Return each channel convolved, mirrored about its edge pixels."""
    return ndimage.convolve(pixels.astype(float), kernel[None, :, :, None], mode="mirror")


@pytest.mark.parametrize(("radius", "sigma"), [(1, 1.0), (4, 0.3), (7, 10.0)])
def test_a_blur_is_a_bell_over_mirrored_edges(radius, sigma):
    given = picture(2, 10, 9, 3)
    assert np.allclose(
        plain(given.blurred(radius, sigma)), convolved(plain(given), bell(radius, sigma)), atol=1e-6
    )


@pytest.mark.parametrize("strength", [0.0, 1.0, 5.0])
def test_sharpening_takes_the_blur_away_ten_times(strength):
    given = picture(1, 10, 9, 4)
    soft = convolved(plain(given), bell(2, 0.5))
    expected = np.clip(plain(given) * (1 + 10 * strength) - 10 * strength * soft, 0, 1)
    assert np.allclose(plain(given.sharpened(2, 0.5, strength)), expected, atol=2e-5)


def test_a_radius_beyond_the_picture_is_refused():
    with pytest.raises(Refused) as refused:
        picture(1, 5, 9, 3).blurred(5, 1.0)
    assert refused.value.facts == {"field": "radius", "received": 5}


@pytest.mark.parametrize("dither", ["none", "floyd-steinberg", "bayer-2", "bayer-16"])
def test_few_colours_are_left(dither):
    pixels = plain(picture(1, 24, 24, 3).quantized(6, dither))
    colours = np.unique((pixels * 255).round().reshape(-1, 3), axis=0)
    assert 2 <= len(colours) <= 6


def test_without_dithering_it_is_pillows_palette():
    given = picture(1, 16, 16, 3)
    drawn = Image.fromarray((plain(given)[0] * 255).astype(np.uint8))
    expected = np.asarray(
        drawn.quantize(5, palette=drawn.quantize(5), dither=Image.Dither.NONE).convert("RGB")
    )
    assert np.allclose(plain(given.quantized(5, "none"))[0] * 255, expected, atol=1e-3)


@pytest.mark.parametrize("side", [2, 4, 8])
def test_ordered_dithering_adds_bayers_pattern(side):
    order = np.array([[0, 2], [3, 1]])
    while len(order) < side:
        fine = len(order) // 2 * 2
        order = np.tile(order, (2, 2)) * 4 + np.repeat(
            np.repeat(np.array([[0, 2], [3, 1]]), fine, axis=0), fine, axis=1
        )
    spread = 2 * 256 / 16
    lifted = 100 + spread * (order - (side**2 - 1) / 2) / side**2 + 0.5
    grey = np.full((16, 16, 3), 100, np.uint8)
    made = retouching._dithered(grey, side, 16)
    assert np.array_equal(made[:side, :side, 1], np.floor(lifted).astype(np.uint8))
    assert np.array_equal(made, np.tile(made[:side, :side], (16 // side, 16 // side, 1)))


def test_a_colour_is_masked_where_it_is_met_exactly():
    pixels = (
        np.array([[[255, 128, 0], [255, 128, 1]], [[0, 0, 0], [255, 128, 0]]], np.float32) / 255
    )
    mask = Picture(torch.from_numpy(pixels[None] + 1e-4)).coloured(0xFF8000)
    assert plain(mask)[0].tolist() == [[1, 0], [0, 1]]


AS_IT_IS = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue_degrees": 0.0, "gamma": 1.0}


@pytest.mark.parametrize(
    ("change", "formula"),
    [
        ({}, lambda c: c),
        ({"brightness": 1.5}, lambda c: c * 1.5),
        ({"contrast": 0.5}, lambda c: c / 2 + 0.25),
        ({"gamma": 2.0}, np.sqrt),
        ({"saturation": 0.0}, lambda c: (c @ [0.2126, 0.7152, 0.0722])[..., None] + 0 * c),
        ({"hue_degrees": 120.0}, lambda c: c[..., [2, 0, 1]]),
        ({"brightness": 2.0, "contrast": 2.0}, lambda c: (c * 2 - 0.5) * 2 + 0.5),
    ],
)
def test_a_colour_change_is_its_formula(change, formula):
    given = picture(1, 5, 4, 4)
    made = plain(given.adjusted(**AS_IT_IS | change))
    expected = np.clip(formula(plain(given)[..., :3].astype(float)), 0, 1)
    assert np.allclose(made[..., :3], expected, atol=1e-6)
    assert np.array_equal(made[..., 3], plain(given)[..., 3])


def test_a_turned_hue_is_another_colour_of_the_wheel():
    red = Picture(torch.tensor([[[[0.6, 0.4, 0.4]]]]))
    turned = plain(red.adjusted(**AS_IT_IS | {"hue_degrees": 60.0}))[0, 0, 0]
    assert colorsys.rgb_to_hsv(*map(float, turned))[0] * 360 == pytest.approx(60, abs=0.1)


def masks(*shape: int, seed: int = 1) -> Mask:
    return Mask(torch.from_numpy(noise(*shape, seed=seed)))


def test_masks_are_inverted_cut_and_thresholded():
    given = masks(2, 5, 6)
    assert np.array_equal(plain(given.inverted()), 1 - plain(given))
    assert np.array_equal(plain(given.cropped(2, 1, 9, 3)), plain(given)[:, 1:4, 2:])
    assert np.array_equal(plain(given.above(0.4)), (plain(given) > 0.4).astype(np.float32))
    with pytest.raises(Refused, match="outside"):
        given.cropped(6, 0, 1, 1)


@pytest.mark.parametrize(
    ("operation", "formula"),
    [
        ("multiply", lambda a, b: a * b),
        ("add", lambda a, b: a + b),
        ("subtract", lambda a, b: a - b),
        ("and", lambda a, b: np.rint(a) * np.rint(b)),
        ("or", lambda a, b: np.maximum(np.rint(a), np.rint(b))),
        ("xor", lambda a, b: np.abs(np.rint(a) - np.rint(b))),
    ],
)
def test_one_mask_is_worked_into_another(operation, formula):
    below, above = masks(2, 5, 6), masks(1, 4, 4, seed=2)
    expected = plain(below).copy()
    expected[:, 3:, 1:5] = formula(expected[:, 3:, 1:5], plain(above)[:, :2])
    made = below.combined(above, 1, 3, operation)
    assert np.allclose(plain(made), np.clip(expected, 0, 1), atol=1e-6)
    with pytest.raises(Refused, match="differ in number"):
        below.combined(masks(3, 4, 4), 0, 0, operation)


def test_a_mask_fades_at_its_edges_as_comfyui_counts_them():
    made = plain(Mask(torch.ones(1, 6, 6)).feathered(left=2, top=0, right=2, bottom=0))[0]
    # From the right the first step meets column 0, as minus zero is zero.
    across = np.array([0.5 * 0.5, 1, 1, 1, 1, 1])
    assert np.allclose(made, np.broadcast_to(across, (6, 6)))
    down = plain(Mask(torch.ones(1, 4, 3)).feathered(left=0, top=0, right=0, bottom=3))[0]
    assert np.allclose(down[:, 0], [1 / 3, 1, 3 / 3, 2 / 3])
    long = plain(Mask(torch.ones(1, 2, 4)).feathered(left=99, top=0, right=0, bottom=0))[0]
    assert np.allclose(long[0], [0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize("tapered", [True, False])
@pytest.mark.parametrize("pixels", [-2, 0, 1, 3])
def test_a_mask_grows_and_shrinks(pixels, tapered):
    given = masks(2, 9, 8)
    corner = 0 if tapered else 1
    footprint = np.array([[corner, 1, corner], [1, 1, 1], [corner, 1, corner]])
    step = ndimage.grey_erosion if pixels < 0 else ndimage.grey_dilation
    expected = []
    for values in plain(given):
        for _ in range(abs(pixels)):
            values = step(values, footprint=footprint)  # noqa: PLW2901
        expected.append(values)
    assert np.array_equal(plain(given.grown(pixels, tapered=tapered)), np.stack(expected))


def test_growing_without_end_ends():
    given = torch.zeros(1, 5, 5)
    given[0, 0, 0] = 1
    assert plain(Mask(given).grown(16_384, tapered=True)).min() == 1
