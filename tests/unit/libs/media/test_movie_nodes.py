"""Video nodes make, open and save films that another reader opens."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
import pytest

from libs.core.errors import Refused
from libs.media.films import encode_film
from libs.media.sound import SoundWaves
from libs.nodes.movies import codec_of
from libs.nodes.registry import load
from tests.unit.libs.media.drawn import frames
from tests.unit.libs.nodes.fakes import FakeContext

TYPES: Any = load()


class Frames:
    """Nine pictures that move."""

    width = 64
    height = 48
    count = 9
    size_bytes = 1000

    def frames(self) -> list[Any]:
        return frames(9)


class Loader:
    """Hands frames on as they are."""

    def pictures(self, given: Any) -> Any:
        return given


def kept(name: str, **inputs: Any) -> tuple[Any, Any]:
    context = FakeContext(prompt={"1": {}})
    ui = TYPES[name](context, **inputs).told()
    (file,) = context.saved
    return file, ui


def probed(file: Any) -> tuple[str, float]:
    with av.open(io.BytesIO(file.data)) as container:
        stream = container.streams.video[0]
        assert {name.lower() for name in container.metadata} >= {"prompt"}
        return stream.codec.canonical_name, float(stream.average_rate or 0)


@pytest.mark.covers("R219", "R220", "R221", "R224")
@pytest.mark.parametrize(
    ("codec", "told", "mime"),
    [("h264", "h264", "video/mp4"), ("h265", "hevc", "video/mp4"), ("vp9", "vp9", "video/webm")],
)
def test_pictures_become_a_film_in_one_step_with_8_frames_a_second(codec, told, mime):
    file, ui = kept("HanzoSaveVideo", images=Frames(), codec=codec)
    assert (file.mime, file.extension) == (mime, mime[6:])
    assert (file.filename_prefix, file.width, file.height) == ("video/ComfyUI", 64, 48)
    assert probed(file) == (told, 8.0)
    assert (len(ui["images"]), ui["animated"]) == (1, [True])


@pytest.mark.parametrize(
    ("format", "codec", "told"),
    [("auto", "auto", "h264"), ("mp4", "h265", "hevc"), ("webm", "auto", "vp9"), ("auto", "vp9", "vp9")],
)  # fmt: skip
def test_a_video_is_saved_as_its_format_and_codec_say(format, codec, told):  # noqa: A002
    video = TYPES["CreateVideo"](images=Frames(), fps=24.0)
    file, _ = kept("SaveVideo", video=video, format=format, codec=codec)
    assert probed(file) == (told, 24.0)


@pytest.mark.parametrize(("container", "codec"), [("mp4", "vp9"), ("webm", "h264")])
def test_a_codec_that_does_not_fit_the_format_is_refused(container, codec):
    with pytest.raises(Refused) as refused:
        codec_of(container, codec)
    assert refused.value.facts["field"] == "codec"


@pytest.mark.covers("R224")
def test_webm_takes_any_rate_and_quality():
    sizes = []
    for crf in (10.0, 60.0):
        file, _ = kept("SaveWEBM", images=Frames(), codec="vp9", fps=60.0, crf=crf)
        assert probed(file) == ("vp9", 60.0)
        sizes.append(len(file.data))
    assert sizes[0] > sizes[1]


def test_a_video_comes_apart_into_what_it_was_made_of():
    images, sound = Frames(), SoundWaves(np.zeros((1, 100), np.float32), 8000)
    video = TYPES["CreateVideo"](images=images, fps=12.0, audio=sound)
    assert TYPES["GetVideoComponents"](video=video) == (images, sound, 12.0)
    assert video.size_bytes == 1400


def test_a_film_that_was_made_here_is_opened_again():
    data = encode_film(frames(4), {}, codec="h264", fps=10)

    class Context(FakeContext):
        def read_input(self, name: str) -> bytes:
            return data

    video = TYPES["LoadVideo"](Context(loader=Loader()), file="a.mp4 [output]")
    assert (len(video.images), video.fps, video.audio) == (4, 10.0, None)
