"""Pictures and animations are saved in the format, under the name and with the texts asked for."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from libs.graph.check import check
from libs.graph.parse import parse
from libs.graph.refusal import GraphRefused
from libs.graph.schema import Catalogue
from libs.nodes.registry import load, schemas
from tests.unit.libs.nodes.fakes import FakeContext, FakeImage

TYPES: Any = load()


class Frames:
    """So many small pictures, each of another grey."""

    width = 8
    height = 6

    def __init__(self, count: int) -> None:
        self.count = count

    def frames(self) -> list[Any]:
        return [np.full((6, 8, 3), number * 3, np.uint8) for number in range(self.count)]


def saved(name: str, images: Any = None, **inputs: Any) -> tuple[Any, Any]:
    """Return what was kept, and what is shown."""
    context = FakeContext(prompt={"1": {}}, extra_pnginfo={"workflow": {"nodes": []}})
    shown = TYPES[name](context, images=images or FakeImage(), **inputs)
    assert context.saved == []
    ui = shown.told()
    return context.saved, ui


def opened(file: Any) -> Any:
    picture = Image.open(io.BytesIO(file.data))
    picture.load()
    return picture


def problems(type_name: str, **inputs: Any) -> list[tuple[str, str]]:
    """Return which inputs of a node are refused before anything is executed, and why."""
    graph: Any = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
        "2": {"class_type": type_name, "inputs": {"images": ["1", 0], **inputs}},
    }  # fmt: skip
    try:
        check(parse(graph), Catalogue(schemas()), ("2",))
    except GraphRefused as refused:
        errors: Any = refused.node_errors["2"]
        return [(one["type"], one["extra_info"]["input_name"]) for one in errors["errors"]]
    return []


@pytest.mark.covers("R105", "R214")
def test_pictures_are_saved_as_png_under_the_prefix():
    (first, second), ui = saved("SaveImage", filename_prefix="hanzo_gen")
    assert first.data.startswith(b"\x89PNG")
    assert (first.extension, first.mime, first.folder) == ("png", "image/png", "output")
    assert (first.filename_prefix, first.width, first.height) == ("hanzo_gen", 4, 3)
    assert (first.batch_number, second.batch_number) == (0, 1)
    assert ui == {
        "images": [
            {"filename": "1.png", "subfolder": "", "type": "output"},
            {"filename": "2.png", "subfolder": "", "type": "output"},
        ]
    }


def test_saved_pictures_go_on():
    images = FakeImage()
    assert TYPES["SaveImage"](FakeContext(), images=images).value.images is images


@pytest.mark.covers("R215", "R217", "R218")
@pytest.mark.parametrize(
    ("format", "extension", "text"),
    [("jpeg", "jpg", 0x0110), ("webp", "webp", 0x0110), ("png", "png", None)],
)
def test_another_format_is_asked_for_by_name(format, extension, text):  # noqa: A002
    (file, _), _ = saved("SaveImage", format=format)
    assert (file.extension, file.mime) == (extension, f"image/{format}")
    picture = opened(file)
    assert picture.format == format.upper()
    found = picture.getexif()[text] if text else "prompt:" + picture.text["prompt"]
    assert found == 'prompt:{"1": {}}'


@pytest.mark.covers("R217", "R218")
@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("jpeg_quality", 84, "value_smaller_than_min"),
        ("jpeg_quality", 96, "value_bigger_than_max"),
        ("webp_quality", 79, "value_smaller_than_min"),
        ("webp_quality", 96, "value_bigger_than_max"),
        ("format", "bmp", "value_not_in_list"),
    ],
)
def test_a_quality_out_of_bounds_is_refused_before_anything_is_executed(field, value, told):
    assert problems("SaveImage", filename_prefix="x", **{field: value}) == [(told, field)]
    assert problems("SaveImage", filename_prefix="x", jpeg_quality=85, webp_quality=95) == []


@pytest.mark.parametrize("name", ["PreviewImage", "SaveImageWebsocket"])
def test_a_preview_is_temporary(name):
    files, ui = saved(name)
    assert {file.folder for file in files} == {"temp"}
    assert {one["type"] for one in ui["images"]} == {"temp"}


@pytest.mark.parametrize(
    ("name", "inputs", "format"),
    [
        ("SaveAnimatedWEBP", {"method": "fastest"}, "WEBP"),
        ("SaveAnimatedPNG", {}, "PNG"),
    ],
)
def test_a_batch_becomes_one_animation(name, inputs, format):  # noqa: A002
    (file,), ui = saved(name, Frames(5), **inputs)
    picture = opened(file)
    assert (picture.format, picture.n_frames, picture.info["duration"]) == (format, 5, 166)
    assert ui == {
        "images": [{"filename": "1.png", "subfolder": "", "type": "output"}],
        "animated": [True],
    }


def test_one_picture_does_not_move():
    _, ui = saved("SaveAnimatedPNG", Frames(1))
    assert ui["animated"] == [False]


@pytest.mark.covers("R222", "R223")
def test_a_gif_is_cut_at_64_frames_and_the_client_is_told():
    (file,), ui = saved("HanzoSaveGIF", Frames(64), fps=10.0)
    assert (file.mime, opened(file).n_frames, ui.get("text")) == ("image/gif", 64, None)
    (file,), ui = saved("HanzoSaveGIF", Frames(65), fps=10.0)
    assert opened(file).n_frames == 64
    assert ui["text"] == [
        "A GIF has at most 64 frames: 65 were given, the first 64 are in the file."
    ]


@pytest.mark.covers("R221")
@pytest.mark.parametrize("name", ["HanzoSaveVideo", "HanzoSaveGIF", "CreateVideo"])
@pytest.mark.parametrize(
    ("fps", "told"), [(7, "value_smaller_than_min"), (31, "value_bigger_than_max")]
)
def test_a_rate_out_of_bounds_is_refused_before_anything_is_executed(name, fps, told):
    graph: Any = {} if name == "CreateVideo" else {"filename_prefix": "x", "codec": "h264"}
    graph |= {"loop": True} if name == "HanzoSaveGIF" else {}
    assert problems_of_rate(name, fps, graph) == [(told, "fps")]
    assert problems_of_rate(name, 8, graph) == problems_of_rate(name, 30, graph) == []


def problems_of_rate(name: str, fps: float, inputs: dict[str, Any]) -> list[tuple[str, str]]:
    if name != "CreateVideo":
        return problems(name, fps=fps, **inputs)
    graph: Any = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
        "2": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": fps}},
        "3": {
            "class_type": "SaveVideo",
            "inputs": {"video": ["2", 0], "filename_prefix": "x", "format": "auto", "codec": "auto"},
        },
    }  # fmt: skip
    try:
        check(parse(graph), Catalogue(schemas()), ("3",))
    except GraphRefused as refused:
        errors: Any = refused.node_errors["2"]
        return [(one["type"], one["extra_info"]["input_name"]) for one in errors["errors"]]
    return []


@pytest.mark.covers("R225")
def test_the_formats_say_what_they_are_good_for():
    def tooltip(node: str, name: str) -> str:
        spec = schemas()[node].input(name)
        assert spec is not None
        return spec.tooltip

    pictures, films = tooltip("SaveImage", "format"), tooltip("HanzoSaveVideo", "codec")
    assert all(word in pictures for word in ("PNG", "workflow", "JPEG", "web", "WebP", "smallest"))
    assert all(word in films for word in ("MP4", "everywhere", "WebM", "web"))
    assert "social media" in schemas()["HanzoSaveGIF"].description
