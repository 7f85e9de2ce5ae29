"""Pictures of unusual sizes and colours are drawn anew like all others."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from services.gateway.pictures import preview_of, render_channel, render_preview


def written(image: Image.Image, **more: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", **more)
    return out.getvalue()


def read(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.covers("R204")
@pytest.mark.parametrize(("kind", "side_max"), [("webp", 16_383), ("jpeg", 65_500)])
def test_a_picture_larger_than_its_preview_can_be_is_shown_smaller(kind: str, side_max: int):
    long = written(Image.new("RGB", (70_000, 40), "red"))
    data, mime = render_preview(long, preview_of(kind), "rgba")
    assert mime == f"image/{kind}"
    assert read(data).size == (side_max, round(40 * side_max / 70_000))


def test_a_preview_of_a_usual_picture_has_its_size():
    data, _ = render_preview(written(Image.new("RGB", (70, 40))), preview_of("webp"), "rgb")
    assert read(data).size == (70, 40)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16"])
def test_the_colours_of_a_picture_without_colours_are_shown_too(mode: str):
    grey = written(Image.new(mode, (3, 3)), transparency=0)
    data, mime = render_channel(grey, "rgb")
    assert (mime, read(data).mode) == ("image/png", "RGB")
