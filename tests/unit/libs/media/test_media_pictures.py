"""JPEG, WebP and GIF files are read back by Pillow, within the bounds of the specification."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from libs.core.errors import Refused
from libs.media.metadata import exif_of
from libs.media.pictures import (
    GIF_FRAMES_MAX,
    QUALITY,
    encode_animated_webp,
    encode_gif,
    encode_jpeg,
    encode_webp,
)
from tests.unit.libs.media.drawn import frame, frames

TEXTS = {"prompt": '{"1": {}}', "workflow": '{"nodes": []}', "note": "[1]"}


def read(data) -> Any:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def tables(quality: int) -> Any:
    """Return the quantisation tables that Pillow writes for a quality."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
    return read(file.getvalue()).quantization


def distance(one: Any, other: Any) -> float:
    return float(np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).mean())


@pytest.mark.covers("R217")
@pytest.mark.parametrize("quality", [85, QUALITY, 95])
def test_a_jpeg_has_the_quality_that_was_asked_for(quality):
    picture = read(encode_jpeg(frame(0), TEXTS, quality))
    assert picture.format == "JPEG"
    assert picture.quantization == tables(quality)
    assert distance(picture, frame(0)) < 3


@pytest.mark.covers("R217", "R218")
@pytest.mark.parametrize(
    ("encode", "quality", "minimum"),
    [(encode_jpeg, 84, 85), (encode_jpeg, 96, 85), (encode_webp, 79, 80), (encode_webp, 96, 80)],
)
def test_a_quality_out_of_bounds_is_refused_with_the_bounds(encode, quality, minimum):
    with pytest.raises(Refused) as refused:
        encode(frame(0), {}, quality)
    facts = refused.value.facts
    assert (facts["field"], facts["received"]) == ("quality", quality)
    assert (facts["minimum"], facts["maximum"]) == (minimum, 95)


@pytest.mark.covers("R218")
def test_a_webp_grows_with_its_quality_and_keeps_alpha():
    least, usual, most = (encode_webp(frame(0), {}, quality) for quality in (80, QUALITY, 95))
    assert len(least) < len(usual) < len(most)
    assert read(usual).format == "WEBP"
    assert distance(read(usual), frame(0)) < 3
    see_through = frame(0, channels=4)
    assert np.array_equal(
        np.asarray(read(encode_webp(see_through, {})))[..., 3], see_through[..., 3]
    )


@pytest.mark.covers("R215")
@pytest.mark.parametrize("encode", [encode_jpeg, encode_webp])
def test_the_workflow_stands_where_readers_of_exif_look(encode):
    exif = read(encode(frame(0), TEXTS)).getexif()
    assert exif[0x0110] == 'prompt:{"1": {}}'
    assert exif[0x010F] == 'workflow:{"nodes": []}'
    assert exif[0x010E] == "note:[1]"


def test_a_jpeg_leaves_out_the_text_that_it_cannot_hold():
    texts = {"prompt": '{"1": {}}', "workflow": json.dumps({"nodes": ["x" * 70_000]})}
    assert dict(read(encode_jpeg(frame(0), texts)).getexif()) == {0x0110: 'prompt:{"1": {}}'}
    assert len(exif_of(texts)) > 70_000
    assert 0x010F in read(encode_webp(frame(0), texts)).getexif()


def test_an_animated_webp_plays_every_frame_for_its_time():
    drawn = frames(5)
    how: dict[str, Any] = {"lossless": True, "quality": 80, "method": "fastest"}
    picture = read(encode_animated_webp(drawn, TEXTS, fps=6.0, **how))
    assert (picture.n_frames, picture.info["loop"]) == (5, 0)
    for number, pixels in enumerate(drawn):
        picture.seek(number)
        picture.load()
        assert picture.info["duration"] == 166
        assert np.array_equal(np.asarray(picture.convert("RGB")), pixels)
    assert picture.getexif()[0x0110] == 'prompt:{"1": {}}'


@pytest.mark.covers("R222")
@pytest.mark.parametrize(("loop", "said"), [(True, 0), (False, None)])
def test_a_gif_moves_and_keeps_time(loop, said):
    drawn = frames(12)
    picture = read(encode_gif(drawn, 8, loop=loop))
    assert (picture.format, picture.n_frames, picture.info.get("loop")) == ("GIF", 12, said)
    lasted = 0
    for number, pixels in enumerate(drawn):
        picture.seek(number)
        lasted += picture.info["duration"]
        assert distance(picture.convert("RGB"), pixels) < 12
    assert lasted == 1500


@pytest.mark.covers("R223")
def test_a_gif_has_at_most_64_frames():
    drawn = frames(GIF_FRAMES_MAX + 1, height=8, width=8)
    assert read(encode_gif(drawn[:-1], 30)).n_frames == GIF_FRAMES_MAX == 64
    with pytest.raises(Refused) as refused:
        encode_gif(drawn, 30)
    assert refused.value.facts == {"field": "images", "limit": 64}


def test_a_picture_that_no_webp_can_hold_is_refused():
    with pytest.raises(Refused, match="so large"):
        encode_webp(np.zeros((1, 16_384, 3), np.uint8), {})
