"""Films out of files, and the frames of any picture or film that are looked at."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from libs.core.errors import Refused
from libs.media.frames import Pixels
from libs.media.sound import CHANNELS_MAX, SoundWaves

if TYPE_CHECKING:
    from av.container import InputContainer

FRAMES_MAX: Final = 16_384
FILM_BYTES_MAX: Final = 2 * 1024**3
FPS_UNKNOWN: Final = 24.0
LOOKED_AT_MAX: Final = 8
# Everything that Pillow is known to raise on bytes that are no picture.
BROKEN: Final = (
    UnidentifiedImageError,
    OSError,
    ValueError,
    SyntaxError,
    IndexError,
    TypeError,
    OverflowError,
    EOFError,
    Pillow.DecompressionBombError,
    Pillow.DecompressionBombWarning,
)


@dataclass(frozen=True)
class Film:
    """What a film file holds."""

    frames: tuple[Pixels, ...]
    fps: float
    sound: SoundWaves | None


def read_film(data: bytes) -> Film:
    """Return the frames and the sound of a film; raise Refused for anything else."""
    frames: list[Pixels] = []
    room = FILM_BYTES_MAX
    with _opened(data) as container:
        rate = container.streams.video[0].average_rate
        for frame in _decoded(container):
            frames.append(_rgb(frame))
            room -= frames[-1].nbytes
            if room < 0 or len(frames) > FRAMES_MAX:
                raise Refused(
                    "the film is too long to be held in memory",
                    frames_max=FRAMES_MAX,
                    bytes_max=FILM_BYTES_MAX,
                )
    if not frames:
        raise Refused("the film holds no frame")
    return Film(tuple(frames), float(rate) if rate else FPS_UNKNOWN, _sound(data))


def looked_at(data: bytes, mime: str, most: int = LOOKED_AT_MAX) -> list[Pillow.Image]:
    """Return up to `most` frames of a picture or film, evenly spread, first and last among them.

    What shows through a frame, or does not, is a picture of its own beside it. Raise Refused for bytes that are not what they claim to be.
    """
    if mime.startswith("video/"):
        return _film_frames(data, most)
    try:
        with Pillow.open(io.BytesIO(data)) as picture:
            numbers = spread(getattr(picture, "n_frames", 1), most)
            return [view for number in numbers for view in _views(picture, number)]
    except BROKEN as error:
        raise Refused("the picture cannot be read", reason=str(error)) from error


def spread(frames: int, most: int) -> list[int]:
    """Return up to `most` frame numbers, evenly spread, first and last among them."""
    if frames <= most:
        return list(range(frames))
    return [round(index * (frames - 1) / (most - 1)) for index in range(most)]


def _film_frames(data: bytes, most: int) -> list[Pillow.Image]:
    # What a file says of its length may be wrong: the frames are counted, then looked at.
    with _opened(data) as container:
        count = sum(1 for _ in _decoded(container))
    if count == 0:
        raise Refused("the film holds no frame")
    wanted = frozenset(spread(count, most))
    with _opened(data) as container:
        return [
            Pillow.fromarray(_rgb(frame))
            for number, frame in enumerate(_decoded(container))
            if number in wanted
        ]


@contextmanager
def _opened(data: bytes) -> Iterator[InputContainer]:
    import av

    try:
        with av.open(io.BytesIO(data), "r", format=_demuxer(data)) as container:
            if not container.streams.video:
                raise Refused("the file holds no film")
            yield container
    except av.FFmpegError as error:
        raise Refused("the film cannot be read", reason=str(error)) from error


def _demuxer(data: bytes) -> str:
    """Name the format by its first bytes: no other than the two is ever opened."""
    if data[4:8] == b"ftyp":
        return "mov"
    if data[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    raise Refused("only MP4 and WebM films can be read")


def _decoded(container: InputContainer) -> Iterator[Any]:
    for number, frame in enumerate(container.decode(video=0)):
        if number >= FRAMES_MAX:
            raise Refused("the film has too many frames", maximum=FRAMES_MAX)
        yield frame


def _rgb(frame: Any) -> Pixels:
    pixels: Pixels = frame.to_ndarray(format="rgb24")
    return pixels


def _sound(data: bytes) -> SoundWaves | None:
    import numpy as np
    from av.audio.resampler import AudioResampler

    with _opened(data) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        layout = "mono" if stream.channels == 1 else "stereo"
        resampler = AudioResampler(format="fltp", layout=layout, rate=stream.rate)
        parts = [
            part.to_ndarray()
            for frame in container.decode(audio=0)
            for part in resampler.resample(frame)
        ]
        parts += [part.to_ndarray() for part in resampler.resample(None)]
        if not parts:
            return None
        samples = np.concatenate(parts, axis=1)[:CHANNELS_MAX].astype(np.float32)
        return SoundWaves(samples, int(stream.rate))


def _views(picture: Pillow.Image, number: int) -> list[Pillow.Image]:
    """Return what a frame can show: its colours, and its transparency."""
    picture.seek(number)
    views = [picture.convert("RGB")]
    if picture.has_transparency_data:
        views.append(picture.convert("RGBA").getchannel("A").convert("RGB"))
    return views
