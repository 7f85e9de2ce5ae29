"""Pictures, masks, latents and conditionings: what they hold and how they change."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load as load_tensors

from libs.core.errors import Refused
from libs.diffusion.pictures import blank_picture, decode_picture
from libs.diffusion.values import Latents, Mask, Picture
from libs.sampling.areas import clipped, weights, with_twins
from libs.sampling.conditioning import Area, Conditioning, Entry
from tests.unit.libs.diffusion import tiny


def encoded(picture, kind="PNG", **more) -> Any:
    file = io.BytesIO()
    picture.save(file, kind, **more)
    return file.getvalue()


def entry(value=1.0, tokens=77, **more) -> Any:
    return Entry(torch.full((1, tokens, 8), value), **more)


@pytest.mark.covers("R085")
def test_a_picture_is_rgb_float32_from_0_to_1():
    made = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5)
    picture, _ = decode_picture(encoded(made))
    assert picture.pixels.dtype is torch.float32
    assert picture.pixels.shape == (1, 4, 4, 3)
    assert float(picture.pixels.min()) == 0.0
    assert float(picture.pixels.max()) == pytest.approx(235 / 255)
    assert np.array_equal(picture.frames()[0], np.asarray(made))


def test_bytes_are_cut_off_and_not_rounded():
    picture = Picture(torch.tensor([0.5, 0.999, 1.0]).reshape(1, 1, 1, 3))
    assert picture.frames()[0].tolist() == [[[127, 254, 255]]]


@pytest.mark.covers("R086")
def test_a_mask_is_what_is_transparent():
    made = Image.new("RGBA", (4, 2), (9, 9, 9, 255))
    made.putpixel((0, 0), (9, 9, 9, 0))
    mask = decode_picture(encoded(made))[1]
    assert mask.values.shape == (1, 2, 4)
    assert float(mask.values[0, 0, 0]) == 1.0
    assert float(mask.values.sum()) == 1.0
    assert decode_picture(encoded(Image.new("RGB", (4, 2))))[1].values.shape == (1, 64, 64)


def test_a_picture_is_turned_upright():
    made = Image.new("RGB", (4, 2))
    turned = Image.Exif()
    turned[0x0112] = 6
    assert decode_picture(encoded(made, "JPEG", exif=turned))[0].pixels.shape == (1, 4, 2, 3)


def test_an_animation_is_a_batch():
    frames = [Image.new("RGB", (4, 2), colour) for colour in ("red", "green", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_picture(data)[0].count == 3


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(Refused, match="not a picture"):
        decode_picture(data)


def test_a_blank_picture_has_its_colour():
    picture = blank_picture(width=3, height=2, count=2, color=0x0080FF)
    assert picture.pixels.shape == (2, 2, 3, 3)
    assert picture.frames()[1][0, 0].tolist() == [0, 128, 255]
    assert torch.equal(picture.inverted().pixels, 1.0 - picture.pixels)


@pytest.mark.parametrize("method", ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"])
def test_a_flat_picture_stays_flat_at_any_size(method):
    picture = blank_picture(width=10, height=8, count=1, color=0x336699)
    scaled = picture.scaled(method, 33, 7, "disabled")
    assert (scaled.width, scaled.height) == (33, 7)
    assert torch.allclose(scaled.pixels, picture.pixels[0, 0, 0].expand(1, 7, 33, 3), atol=4e-3)


def test_a_side_of_zero_keeps_the_proportions_and_crop_cuts_the_longer_side():
    picture = Picture(torch.rand(1, 20, 40, 3))
    assert picture.scaled("area", 0, 10, "disabled").width == 20
    assert picture.scaled("area", 0, 0, "disabled").width == 40
    square = picture.scaled("nearest-exact", 20, 20, "center")
    assert torch.equal(square.pixels, picture.pixels[:, :, 10:30])


def test_bislerp_keeps_directions_on_the_arc():
    one, other = torch.zeros(1, 4, 1, 1), torch.zeros(1, 4, 1, 1)
    one[0, 0], other[0, 1] = 2.0, 2.0
    scaled = Latents(torch.cat([one, other], -1).repeat(1, 1, 8, 4)[..., :8])
    wide = scaled.scaled("bislerp", 128, 64, "disabled").samples
    assert wide.shape == (1, 4, 8, 16)
    assert torch.allclose(wide.norm(dim=1), torch.full((1, 8, 16), 2.0), atol=1e-5)
    flat = Latents(torch.ones(1, 4, 8, 8)).scaled("bislerp", 96, 128, "disabled").samples
    assert torch.allclose(flat, torch.ones(1, 4, 16, 12))


@pytest.mark.covers("R102")
@pytest.mark.parametrize(
    ("width", "height", "count"), [(512, 512, 1), (1024, 768, 3), (72, 136, 2)]
)
def test_an_empty_latent_is_an_eighth_of_the_picture(width, height, count):
    latent = tiny.loader().blank_latent(width=width, height=height, count=count)
    assert latent.samples.shape == (count, 4, height // 8, width // 8)
    assert not latent.samples.any()


def test_a_latent_is_kept_in_a_file():
    latent = Latents(torch.rand(1, 4, 2, 2))
    kept = load_tensors(latent.to_bytes({"prompt": "{}"}))
    assert torch.equal(kept["latent_tensor"], latent.samples)
    assert "latent_format_version_0" in kept


def test_conditionings_stand_side_by_side_behind_each_other_or_blend():
    first, second = Conditioning((entry(1.0),)), Conditioning((entry(3.0, tokens=154),))
    assert len(first.combined(second).entries) == 2
    assert first.joined(second).entries[0].context.shape == (1, 231, 8)
    blend = first.averaged(second, 0.25).entries[0].context
    assert torch.equal(blend, torch.full((1, 77, 8), 2.5))
    padded = second.averaged(first, 0.5).entries[0].context
    assert float(padded[0, 0, 0]) == 2.0
    assert float(padded[0, 153, 0]) == 1.5


def test_summaries_blend_too():
    first = Conditioning((entry(pooled=torch.ones(1, 4)),))
    second = Conditioning((entry(pooled=torch.full((1, 4), 3.0)),))
    pooled = first.averaged(second, 0.5).entries[0].pooled
    assert pooled is not None
    assert pooled.tolist() == [[2.0] * 4]


def test_an_area_on_one_side_has_a_twin_on_the_other():
    area = Area(8, 8, 2, 4)
    plain, placed = entry(1.0), entry(2.0, area=area, strength=0.5)
    twins = with_twins([plain], [placed])
    assert [twin.area for twin in twins] == [None, area]
    assert twins[1].context is plain.context
    assert twins[1].strength == 0.5
    assert with_twins([placed], [placed]) == [placed]
    inner = entry(3.0, area=Area(10, 10, 0, 2))
    assert with_twins([plain, inner], [placed])[2].context is inner.context


def test_an_area_counts_less_towards_edges_inside_the_picture():
    like = torch.zeros(1, 4, 16, 16)
    area = clipped(Area(16, 8, 0, 12), like)
    assert (area.height, area.width) == (16, 4)
    weight = weights(Area(16, 8, 0, 8), like, 2.0)[0, 0]
    assert weight[0].tolist() == [1.0] + [2.0] * 7
    assert weight[:, 7].tolist() == [2.0] * 16


def test_masks_mark_what_may_change():
    mask = Mask(torch.ones(1, 4, 4))
    latent = Latents(torch.zeros(1, 4, 2, 2)).masked(mask)
    assert latent.mask is mask
    assert latent.size_bytes == 4 * 4 * 4 + 4 * 16
