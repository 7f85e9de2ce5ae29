"""Films are written by PyAV and read back frame by frame; what is no film is refused."""

from __future__ import annotations

import io
import struct
import sys
from dataclasses import replace
from typing import Any

import av
import numpy as np
import pytest

from libs.core.errors import Refused
from libs.media import films
from libs.media.films import encode_film
from libs.media.pictures import encode_gif
from libs.media.reading import looked_at, read_film, spread
from libs.media.sound import SoundWaves
from tests.unit.libs.media.drawn import frames

TEXTS = {"prompt": '{"1": {}}', "workflow": '{"nodes": []}'}


def probed(data: bytes) -> Any:
    """Return what another reader of the file finds in it."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        count = sum(1 for _ in container.decode(video=0))
        return {
            "codec": stream.codec.canonical_name,
            "rate": float(stream.average_rate or 0),
            "size": (context.width, context.height),
            "format": context.pix_fmt,
            "frames": count,
            "texts": {name.lower(): text for name, text in container.metadata.items()},
        }


@pytest.mark.covers("R002", "R219", "R220", "R224")
@pytest.mark.parametrize(
    ("codec", "told", "layout", "start"),
    [
        ("h264", "h264", "yuv420p", b"ftyp"),
        ("h265", "hevc", "yuv420p", b"ftyp"),
        ("vp9", "vp9", "yuv420p", b"\x1aE\xdf\xa3"),
        ("av1", "av1", "yuv420p10le", b"\x1aE\xdf\xa3"),
    ],
)
def test_a_film_holds_its_frames_its_rate_and_its_workflow(codec, told, layout, start):
    drawn = frames(9, height=47, width=65)
    data = encode_film(drawn, TEXTS, codec=codec, fps=12)
    assert start in data[:12]
    found = probed(data)
    assert (found["codec"], found["format"], found["frames"]) == (told, layout, 9)
    assert found["rate"] == 12
    assert found["size"] == (66, 48)
    assert TEXTS.items() <= found["texts"].items()
    film = read_film(data)
    for shown, pixels in zip(film.frames, drawn, strict=True):
        assert np.abs(shown[:47, :65].astype(int) - pixels).mean() < 6


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9"])
def test_every_frame_is_shown_at_its_own_time(codec):
    data = encode_film(frames(6), {}, codec=codec, fps=8)
    with av.open(io.BytesIO(data)) as container:
        times = [float(frame.time or 0) for frame in container.decode(video=0)]
    assert times == pytest.approx([number / 8 for number in range(6)], abs=0.001)


def test_an_mp4_can_be_played_while_it_comes():
    data = encode_film(frames(3), {}, codec="h264", fps=8)
    boxes = []
    place = 0
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        boxes.append(data[place + 4 : place + 8])
        place += length
    assert boxes.index(b"moov") < boxes.index(b"mdat")


@pytest.mark.covers("R221")
@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("fps", [7, 31])
def test_an_mp4_has_8_to_30_frames_a_second(codec, fps):
    with pytest.raises(Refused) as refused:
        encode_film(frames(2), {}, codec=codec, fps=fps)
    assert refused.value.facts == {"field": "fps", "received": fps, "minimum": 8, "maximum": 30}


@pytest.mark.covers("R221")
@pytest.mark.parametrize("fps", [8, 23.976, 30])
def test_any_rate_in_between_is_kept(fps):
    assert probed(encode_film(frames(3), {}, codec="h264", fps=fps))["rate"] == pytest.approx(fps)


@pytest.mark.parametrize(("codec", "rate"), [("h264", 44_100), ("vp9", 48_000)])
def test_sound_goes_with_the_film(codec, rate):
    waves = np.sin(np.arange(44_100) * 440 * 2 * np.pi / 44_100).astype(np.float32) * 0.5
    sound = SoundWaves(np.stack((waves, -waves)), 44_100)
    heard = read_film(encode_film(frames(8), {}, codec=codec, fps=8, sound=sound)).sound
    assert heard is not None
    assert (heard.rate, heard.samples.shape[0]) == (rate, 2)
    assert heard.samples.shape[1] / rate == pytest.approx(1.0, abs=0.05)
    middle = heard.samples[:, rate // 4 : rate // 2]
    assert np.sqrt((middle**2).mean()) == pytest.approx(0.5 / 2**0.5, abs=0.03)
    assert np.allclose(middle[0], -middle[1], atol=0.05)


def test_a_silent_film_has_no_sound():
    assert read_film(encode_film(frames(2), {}, codec="h264", fps=8)).sound is None


@pytest.mark.covers("R219")
def test_a_missing_encoder_is_named(monkeypatch):
    lacking: Any = {"h264": replace(films.CODECS["h264"], encoder="libnothing")}
    monkeypatch.setattr(films, "CODECS", lacking)
    with pytest.raises(Refused) as refused:
        encode_film(frames(2), {}, codec="h264", fps=8)
    assert refused.value.facts["encoder"] == "libnothing"


def test_a_worker_without_the_package_says_what_it_cannot_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(Refused, match="no encoder libx264"):
        encode_film(frames(2), {}, codec="h264", fps=8)


@pytest.mark.parametrize("most", [2, 8])
def test_looking_at_a_film_takes_the_first_the_last_and_some_between(most):
    drawn = [np.full((32, 32, 3), number * 10, np.uint8) for number in range(20)]
    film = encode_film(drawn, {}, codec="h264", fps=8)
    seen = [int(np.asarray(picture).mean()) for picture in looked_at(film, "video/mp4", most)]
    assert seen == pytest.approx([number * 10 for number in spread(20, most)], abs=3)
    assert spread(20, most)[0] == 0
    assert spread(20, most)[-1] == 19


def test_looking_at_a_gif_takes_several_frames():
    drawn = [np.full((8, 8, 3), number * 10, np.uint8) for number in range(20)]
    seen = looked_at(encode_gif(drawn, 10), "image/gif")
    assert [int(np.asarray(picture).mean()) for picture in seen] == [
        number * 10 for number in spread(20, 8)
    ]


@pytest.mark.parametrize(
    "data",
    [b"", b"not a film at all", b"\x1aE\xdf\xa3 not a film", b"\0\0\0\x18ftypmp42" + b"x" * 99],
)
def test_bytes_that_only_claim_to_be_a_film_are_refused(data):
    with pytest.raises(Refused):
        looked_at(data, "video/mp4")
    with pytest.raises(Refused):
        read_film(data)


def test_a_film_that_breaks_off_is_refused():
    whole = encode_film(frames(8), {}, codec="h264", fps=8)
    with pytest.raises(Refused):
        looked_at(whole[: len(whole) // 3], "video/mp4")
