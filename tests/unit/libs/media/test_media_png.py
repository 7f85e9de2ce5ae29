"""A picture carries the workflow that made it, where readers look for it; its bytes are fixed."""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from libs.core.errors import Refused
from libs.core.jsonvalue import JsonObject
from libs.media.metadata import texts_for
from libs.media.png import BAND_ROWS, encode_animated_png, encode_png, filtered
from tests.unit.libs.media.drawn import frame, frames

PIXELS = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
PROMPT: JsonObject = {
    "1": {"class_type": "KSampler", "inputs": {"text": "ein Füchslein 狐 \u0000"}}
}
LITEGRAPH: JsonObject = {"version": 0.4, "nodes": [{"id": 1}], "links": []}
HIP: JsonObject = {"version": 1, "nodes": {"1": {"type": "KSampler", "inputs": {}}}}
# Of the filtered rows, which no library touches; and of whole files, deflated by zlib 1.2 and 1.3.
GOLDEN_ROWS = "91018c8464864bb83c3c14e97a5349c4d41e06a6eb827a7619715671a8e93e64"
GOLDEN_FILE = "673e54b9ef0ebc1e9eab1a17196c4cbca0796e9e6dc073bb4ba3fee3374f0796"
GOLDEN_ANIMATION = "b1e00c77e2d4d4b7239f0718e0b5d18886514fe25ed360b7396ea2bc262e635d"


def read(data) -> Any:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def every_kind_of_row() -> Any:
    """Return rows that suit each filter: noise, slopes, stripes, and what lies between."""
    y, x = np.mgrid[0 : BAND_ROWS + 9, 0:50]
    noise = (x * 7919 + y * 104_729) ** 2 // 97
    stripes = (x * 7919) ** 2 // 97
    bands = np.stack((x * 5, y * y // 7, x * y // 3 + (x ^ y)), axis=-1)
    bands[20:40] = np.stack((noise % 200, noise % 3, noise % 7), axis=-1)[20:40]
    bands[40:60] = stripes[40:60, :, None]
    bands[60:80] = (stripes // 2 + np.cumsum(noise % 9, axis=1) + y * 3)[60:80, :, None] % 251
    bands[80:90] = ((noise % 5) * 51)[80:90, :, None]
    return bands.astype(np.uint8)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.covers("R187", "R215", "R216")
def test_prompt_and_workflow_are_read_back_as_they_were_given():
    data = encode_png(PIXELS, texts_for(PROMPT, {"workflow": LITEGRAPH, "note": [1, "ä"]}, None))
    text = read(data).text
    assert json.loads(text["prompt"]) == PROMPT
    assert json.loads(text["workflow"]) == LITEGRAPH
    assert json.loads(text["note"]) == [1, "ä"]
    assert list(text) == ["prompt", "workflow", "note"]
    assert data.count(b"tEXt") == 3


@pytest.mark.covers("R215")
@pytest.mark.parametrize(
    ("extra", "hip"), [({}, HIP), ({"workflow": HIP}, None), ({"workflow": HIP}, HIP)]
)
def test_a_hip35_document_never_stands_where_the_editor_looks(extra, hip):
    texts = texts_for(PROMPT, extra, hip)
    assert "workflow" not in texts
    assert json.loads(texts["hip_workflow"]) == HIP
    assert json.loads(texts["prompt"]) == PROMPT


def test_both_documents_have_a_place():
    texts = texts_for(PROMPT, {"workflow": LITEGRAPH}, HIP)
    assert json.loads(texts["workflow"]) == LITEGRAPH
    assert json.loads(texts["hip_workflow"]) == HIP


def test_a_client_cannot_replace_what_the_house_writes():
    texts = texts_for(PROMPT, {"prompt": "forged", "hip_workflow": "forged"}, None)
    assert json.loads(texts["prompt"]) == PROMPT
    assert "hip_workflow" not in texts


def test_a_name_that_no_chunk_can_have_leaves_the_picture_readable():
    names = {"": "1", "x" * 80: "2", "a\nb": "3", "good": "4"}
    assert read(encode_png(PIXELS, names)).text == {"good": "4"}


@pytest.mark.covers("R214", "R216")
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("size", [(1, 1), (4, 5), (BAND_ROWS * 2 + 1, 7)])
def test_every_pixel_comes_back(size, channels):
    pixels = np.random.default_rng(5).integers(0, 256, (*size, channels), dtype=np.uint8)
    picture = read(encode_png(pixels, {}))
    assert (picture.format, picture.mode) == ("PNG", "RGB" if channels == 3 else "RGBA")
    assert np.array_equal(np.asarray(picture), pixels)


@pytest.mark.covers("R214")
def test_the_bytes_of_a_picture_are_those_of_every_other_day():
    pixels = every_kind_of_row()
    rows = b"".join(band.tobytes() for band in filtered(pixels))
    assert set(np.frombuffer(rows, np.uint8).reshape(len(pixels), -1)[:, 0]) == set(range(5))
    assert sha256(rows) == GOLDEN_ROWS
    first, second = (encode_png(pixels, {"prompt": "{}"}) for _ in range(2))
    assert first == second
    animation = encode_animated_png([pixels, pixels[::-1]], {"prompt": "{}"}, 125)
    if "ng" not in zlib.ZLIB_RUNTIME_VERSION:
        assert sha256(first) == GOLDEN_FILE
        assert sha256(animation) == GOLDEN_ANIMATION


def test_an_animation_plays_every_frame_for_its_time():
    drawn = frames(4, channels=4)
    picture = read(encode_animated_png(drawn, {"prompt": '{"1": {}}'}, 166))
    assert (picture.n_frames, picture.info["loop"]) == (4, 0)
    for number, pixels in enumerate(drawn):
        picture.seek(number)
        assert picture.info["duration"] == 166
        assert np.array_equal(np.asarray(picture.convert("RGBA")), pixels)
    assert picture.text == {"prompt": '{"1": {}}'}


def test_frames_of_two_sizes_are_no_animation():
    with pytest.raises(Refused, match="one size"):
        encode_animated_png([frame(0), frame(0, height=20)], {}, 100)
