"""Pictures are cut, turned, padded, joined and stitched as plain arrays are."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from libs.core.errors import Refused
from libs.diffusion.picture import Mask, Picture
from libs.diffusion.pictures import decode_mask, picture_of


def noise(*shape: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def picture(*shape: int, seed: int = 1) -> Picture:
    return Picture(torch.from_numpy(noise(*shape, seed=seed)))


def plain(value: Any) -> Any:
    return (value.values if isinstance(value, Mask) else value.pixels).numpy()


@pytest.mark.parametrize(
    ("place", "rows", "columns"),
    [
        ((1, 2, 3, 4), (2, 6), (1, 4)),
        ((6, 5, 9, 9), (5, 8), (6, 7)),
        ((99, 99, 2, 2), (7, 8), (6, 7)),
    ],
)
def test_a_rectangle_begins_inside_and_ends_with_the_picture(place, rows, columns):
    given = picture(2, 8, 7, 3)
    cut = given.cropped(*place)
    assert np.array_equal(plain(cut), plain(given)[:, slice(*rows), slice(*columns)])


def test_flips_and_turns_move_pixels_and_change_none():
    given = picture(2, 4, 5, 3)
    assert np.array_equal(plain(given.flipped(upside_down=True)), plain(given)[:, ::-1])
    assert np.array_equal(plain(given.flipped(upside_down=False)), plain(given)[:, :, ::-1])
    for quarters in range(4):
        clockwise = np.rot90(plain(given), k=-quarters, axes=(1, 2))
        assert np.array_equal(plain(given.turned(quarters)), clockwise)


def test_batches_are_repeated_and_taken_apart():
    given = picture(3, 2, 2, 3)
    assert np.array_equal(plain(given.repeated(2)), np.concatenate([plain(given)] * 2))
    assert np.array_equal(plain(given.part(1, 5)), plain(given)[1:])
    assert np.array_equal(plain(given.part(9, 1)), plain(given)[2:])


def test_a_second_batch_is_brought_to_the_size_of_the_first():
    first, second = picture(1, 4, 4, 3), picture(2, 8, 12, 3, seed=2)
    joined = plain(first.joined(second))
    # Two columns of four go at each side; then every pixel is the mean of four.
    middle = plain(second)[:, :, 2:10].reshape(2, 4, 2, 4, 2, 3).mean(axis=(2, 4))
    assert np.array_equal(joined[:1], plain(first))
    assert np.allclose(joined[1:], middle, atol=1e-6)


def test_alpha_is_opaque_where_there_was_none():
    joined = plain(picture(1, 2, 2, 3).joined(picture(1, 2, 2, 4)))
    assert joined.shape == (2, 2, 2, 4)
    assert (joined[0, ..., 3] == 1).all()


@pytest.mark.parametrize("feathering", [0, 3])
@pytest.mark.parametrize("edges", [(8, 0, 0, 16), (8, 8, 8, 8), (0, 0, 0, 0)])
def test_padding_is_grey_and_its_mask_fades_into_the_picture(edges, feathering):
    left, top, right, bottom = edges
    given = picture(2, 10, 12, 3)
    canvas, mask = given.padded(
        left=left, top=top, right=right, bottom=bottom, feathering=feathering
    )
    expected = np.full((2, 10 + top + bottom, 12 + left + right, 3), 0.5, np.float32)
    expected[:, top : top + 10, left : left + 12] = plain(given)
    assert np.array_equal(plain(canvas), expected)
    soft = np.ones((10 + top + bottom, 12 + left + right))
    for row in range(10):
        for column in range(12):
            near = [10 if not top else row, 10 if not bottom else 10 - row]
            near += [12 if not left else column, 12 if not right else 12 - column]
            share = max(0, feathering - min(near)) / feathering if feathering else 0
            soft[top + row, left + column] = share**2
    assert np.allclose(plain(mask)[0], soft, atol=1e-6)


def test_a_picture_too_small_to_fade_has_a_hard_mask():
    _, mask = picture(1, 6, 6, 3).padded(left=8, top=0, right=0, bottom=0, feathering=3)
    assert set(np.unique(plain(mask))) == {0.0, 1.0}


@pytest.mark.parametrize("side", ["right", "down", "left", "up"])
def test_pictures_of_one_size_stand_side_by_side_with_a_bar(side):
    one, two = picture(1, 4, 4, 3), picture(2, 4, 4, 3, seed=2)
    stitched = plain(one.stitched(two, side=side, match_size=True, spacing=3, colour="red"))
    axis = 2 if side in ("right", "left") else 1
    order = [plain(one).repeat(2, axis=0), plain(two)]
    if side in ("left", "up"):
        order.reverse()
    # An odd bar becomes even.
    assert stitched.shape[axis] == 12
    # The second was scaled as bytes, though to its own size.
    for place, expected in ((0, order[0]), (8, order[1])):
        part = np.take(stitched, range(place, place + 4), axis)
        assert np.allclose(part, expected, atol=1 / 255 + 1e-6)
    bar = np.take(stitched, range(4, 8), axis)
    assert (bar == np.array([1, 0, 0], np.float32)).all()


def test_a_matched_picture_keeps_its_proportions():
    one, two = picture(1, 8, 4, 3), picture(1, 4, 6, 3, seed=2)
    how: dict[str, Any] = {"match_size": True, "spacing": 0, "colour": "white"}
    assert plain(one.stitched(two, side="right", **how)).shape == (1, 8, 4 + 12, 3)
    assert plain(one.stitched(two, side="up", **how)).shape == (1, 8 + 2, 4, 3)


@pytest.mark.parametrize(("colour", "value"), [("white", 1.0), ("black", 0.0), ("green", 0.0)])
def test_an_unmatched_picture_is_centred(colour, value):
    one, two = picture(1, 7, 3, 3), picture(1, 4, 3, 3, seed=2)
    how: dict[str, Any] = {"match_size": False, "spacing": 0, "colour": colour}
    stitched = plain(one.stitched(two, side="right", **how))
    assert np.array_equal(stitched[:, 1:5, 3:], plain(two))
    assert (stitched[:, [0, 5, 6], 3:] == value).all()


@pytest.mark.covers("R085", "R086")
def test_channels_are_masks_and_masks_are_grey_pictures():
    given = picture(2, 3, 4, 4)
    for index, name in enumerate(("red", "green", "blue", "alpha")):
        mask = given.channel(name)
        assert mask.values.dtype is torch.float32
        assert np.array_equal(plain(mask), plain(given)[..., index])
    grey = plain(given.channel("red").as_picture())
    assert np.array_equal(grey, np.repeat(plain(given)[..., :1], 3, axis=3))
    with pytest.raises(Refused) as refused:
        picture(1, 2, 2, 3).channel("alpha")
    assert refused.value.facts == {"field": "channel", "received": "alpha"}


def test_alpha_comes_and_goes():
    given, mask = picture(2, 4, 4, 3), Mask(torch.from_numpy(noise(2, 4, 4, seed=3)))
    joined = given.with_alpha(mask)
    assert np.allclose(plain(joined)[..., 3], 1 - plain(mask))
    colours, transparent = joined.split_alpha()
    assert np.array_equal(plain(colours), plain(given))
    assert np.allclose(plain(transparent), plain(mask), atol=1e-7)
    assert (plain(given.split_alpha()[1]) == 0).all()
    assert joined.frames()[0].shape == (4, 4, 4)


def test_one_mask_serves_every_picture_and_is_stretched():
    mask = Mask(torch.tensor([[[0.0, 1.0]]]))
    alpha = plain(picture(3, 2, 4, 3).with_alpha(mask))[..., 3]
    assert np.allclose(alpha, np.broadcast_to([1, 0.75, 0.25, 0], (3, 2, 4)))


def test_a_channel_of_a_file_becomes_a_mask():
    pixels = (noise(5, 6, 4) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    for index, channel in enumerate(("red", "green", "blue", "alpha")):
        values = pixels[..., index] / np.float32(255)
        expected = 1 - values if channel == "alpha" else values
        assert np.allclose(plain(decode_mask(file.getvalue(), channel))[0], expected, atol=1e-7)
    opaque = io.BytesIO()
    Image.fromarray(pixels[..., :3]).save(opaque, "PNG")
    assert (plain(decode_mask(opaque.getvalue(), "alpha")) == 0).all()


def test_frames_become_pictures_and_frames_again():
    frames = [(noise(3, 4, 3, seed=seed) * 255).astype(np.uint8) for seed in range(3)]
    made = picture_of(frames)
    assert np.array_equal(plain(made), np.stack(frames) / np.float32(255))


def test_a_picture_is_not_made_larger_than_any_may_be():
    small = Picture(torch.zeros(1, 2, 2, 3))
    with pytest.raises(Refused) as caught:
        small.scaled("nearest-exact", 16_385, 16_384, "disabled")
    assert caught.value.facts["maximum"] == 16_384**2
