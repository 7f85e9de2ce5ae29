"""MP4 and WebM files, by PyAV: frames and sound in, bytes out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from libs.core.errors import Refused
from libs.media.frames import Pixels
from libs.media.sound import SoundWaves

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

FPS_MIN: Final = 8
FPS_MAX: Final = 30
FPS: Final = 8
SIDE_PIXELS_MIN: Final = 16
# Encoders choose by the machine otherwise, and what they write depends on it.
THREADS: Final = 4
BT709: Final = 1
FilmCodec = Literal["h264", "h265", "vp9", "av1"]


@dataclass(frozen=True, kw_only=True)
class Codec:
    """A way to encode films, and the file that it goes into."""

    encoder: str
    container: Literal["mp4", "webm"]
    sound_encoder: str
    sound_rate: int | None
    options: Mapping[str, str]
    crf: int
    pixel_format: str = "yuv420p"
    tag: str = ""
    bounded_fps: bool = False

    @property
    def mime(self) -> str:
        """Return the MIME type of its files."""
        return f"video/{self.container}"


CODECS: Final[Mapping[FilmCodec, Codec]] = {
    "h264": Codec(
        encoder="libx264",
        container="mp4",
        sound_encoder="aac",
        sound_rate=None,
        options={"preset": "medium"},
        crf=19,
        bounded_fps=True,
    ),
    "h265": Codec(
        encoder="libx265",
        container="mp4",
        sound_encoder="aac",
        sound_rate=None,
        options={"preset": "medium", "x265-params": "log-level=error:pools=4:frame-threads=1"},
        crf=22,
        # Players of Apple know H.265 by this name only.
        tag="hvc1",
        bounded_fps=True,
    ),
    "vp9": Codec(
        encoder="libvpx-vp9",
        container="webm",
        sound_encoder="libopus",
        sound_rate=48_000,
        options={"row-mt": "1", "deadline": "good", "cpu-used": "2"},
        crf=32,
    ),
    "av1": Codec(
        encoder="libsvtav1",
        container="webm",
        sound_encoder="libopus",
        sound_rate=48_000,
        options={"preset": "6", "svtav1-params": "lp=2"},
        crf=32,
        pixel_format="yuv420p10le",
    ),
}


def encode_film(
    frames: Sequence[Pixels],
    texts: Mapping[str, str],
    *,
    codec: FilmCodec,
    fps: float,
    crf: float | None = None,
    sound: SoundWaves | None = None,
) -> bytes:
    """Encode frames as a film; a side of odd length gets one more row or column.

    MP4 files are made with 8 to 30 frames a second. A codec that this machine lacks is Refused.
    """
    chosen = CODECS[codec]
    if chosen.bounded_fps:
        require_fps(fps)
    # The index of a film goes to its front in a second pass, which needs a file with a name.
    with tempfile.TemporaryDirectory(prefix="studio-film-") as folder:
        path = Path(folder) / f"film.{chosen.container}"
        with _opened(path, chosen, texts) as container:
            _write(container, chosen, frames, fps=fps, crf=crf, sound=sound)
        return path.read_bytes()


def require_fps(fps: float) -> None:
    """Raise Refused for a frame rate that MP4 files are not made with."""
    if not FPS_MIN <= fps <= FPS_MAX:
        raise Refused(
            f"MP4 is made with {FPS_MIN} to {FPS_MAX} frames a second",
            field="fps",
            received=fps,
            minimum=FPS_MIN,
            maximum=FPS_MAX,
        )


def rate_of(fps: float) -> Fraction:
    """Return a frame rate as a fraction, to a thousandth."""
    return Fraction(round(fps * 1000), 1000)


def _opened(path: Path, codec: Codec, texts: Mapping[str, str]) -> OutputContainer:
    try:
        import av
    except ImportError as error:
        raise _missing(codec.encoder) from error
    flags = {"movflags": "+use_metadata_tags+faststart"} if codec.container == "mp4" else {}
    container: OutputContainer = av.open(str(path), "w", format=codec.container, options=flags)
    # No name of a program, whose version would change the bytes.
    container.flags |= av.container.Flags.bitexact.value
    container.metadata.update(texts)
    return container


def _write(
    container: OutputContainer,
    codec: Codec,
    frames: Sequence[Pixels],
    *,
    fps: float,
    crf: float | None,
    sound: SoundWaves | None,
) -> None:
    height, width = (_even(side) for side in frames[0].shape[:2])
    stream = _video_stream(container, codec, fps, crf)
    stream.width, stream.height = width, height
    heard = None
    if sound is not None:
        rate = codec.sound_rate or sound.rate
        heard = _add_stream(container, codec.sound_encoder, rate)
        heard.layout = sound.layout
    for number, pixels in enumerate(frames):
        frame = _frame(pixels, width, height, codec.pixel_format)
        frame.pts, frame.time_base = number, 1 / rate_of(fps)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
    if sound is not None and heard is not None:
        container.mux(heard.encode(sound.frame()))
        container.mux(heard.encode(None))


def _video_stream(
    container: OutputContainer, codec: Codec, fps: float, crf: float | None
) -> VideoStream:
    stream: Any = _add_stream(container, codec.encoder, rate_of(fps))
    stream.pix_fmt = codec.pixel_format
    stream.bit_rate = 0
    quality = codec.crf if crf is None else crf
    stream.options = {"crf": f"{quality:g}", **codec.options}
    context = stream.codec_context
    context.thread_count = THREADS
    context.colorspace = context.color_primaries = context.color_trc = BT709
    if codec.tag:
        context.codec_tag = codec.tag
    film: VideoStream = stream
    return film


def _add_stream(container: OutputContainer, encoder: str, rate: Fraction | int) -> Any:
    from av.error import FFmpegError

    # SVT-AV1 tells its whole life to stderr otherwise.
    os.environ.setdefault("SVT_LOG", "1")
    try:
        return container.add_stream(encoder, rate=rate)
    except (ValueError, LookupError, FFmpegError) as error:
        raise _missing(encoder) from error


def _frame(pixels: Pixels, width: int, height: int, pixel_format: str) -> Any:
    from av import VideoFrame
    from av.video.reformatter import Colorspace, Interpolation

    missing = ((0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0))
    whole = np.ascontiguousarray(np.pad(pixels[..., :3], missing, mode="edge"))
    return VideoFrame.from_ndarray(whole, format="rgb24").reformat(
        format=pixel_format,
        dst_colorspace=Colorspace.ITU709,
        # The same on every processor.
        interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT,
        threads=1,
    )


def _even(side: int) -> int:
    # Encoders refuse less than a block.
    return max(SIDE_PIXELS_MIN, side + side % 2)


def _missing(encoder: str) -> Refused:
    return Refused(
        f"this worker has no encoder {encoder}: its packages lack it",
        field="codec",
        encoder=encoder,
    )
