"""Nodes that make, open and save videos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, cast

from libs.core.errors import Refused
from libs.core.jsonvalue import JsonObject
from libs.nodes.context import Context
from libs.nodes.declare import Choices, Shown, Widget, node
from libs.nodes.picture_sockets import Audio, Video
from libs.nodes.saving import PNG_INFO, PREFIX_TOOLTIP, animation, shown_moving, texts
from libs.nodes.sockets import Image

if TYPE_CHECKING:
    from libs.media.films import FilmCodec
    from libs.media.sound import SoundWaves

Container = Literal["auto", "mp4", "webm"]
VideoCodec = Literal["auto", "h264", "h265", "vp9"]
CODEC_TOOLTIP = (
    "H.264 (MP4) plays everywhere; H.265 (MP4) is smaller and plays on newer devices; VP9 (WebM) "
    "is for web pages."
)
_Rate = Widget(min=8.0, max=30.0, step=0.01)


@dataclass(frozen=True)
class Movie:
    """VIDEO: pictures that are shown one after the other, with or without sound."""

    images: Image
    fps: float
    audio: SoundWaves | None = None

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        sizes = (getattr(part, "size_bytes", 0) for part in (self.images, self.audio))
        return sum(sizes)


class Components(NamedTuple):
    """What a video is made of."""

    images: Image
    audio: Annotated[Audio, "Nothing, if the video is silent."]
    fps: Annotated[float, "Frames a second."]


@node("CreateVideo", title="Create Video", category="image/video")
def create_video(
    *,
    images: Annotated[Image, "The frames."],
    fps: Annotated[float, Widget(min=8.0, max=30.0, step=1.0), "Frames a second."] = 30.0,
    audio: Annotated[Audio, "What is heard."] | None = None,
) -> Video:
    """Make a video out of pictures."""
    return Movie(images, fps, cast("SoundWaves | None", audio))


@node("GetVideoComponents", title="Get Video Components", category="image/video")
def video_components(*, video: Video) -> Components:
    """Take a video apart."""
    return Components(video.images, cast("Audio", video.audio), video.fps)


@node("LoadVideo", title="Load Video", category="image/video")
def load_video(
    context: Context,
    *,
    file: Annotated[str, Choices("input"), "A video that was made here: `name.mp4 [output]`."],
) -> Video:
    """Open an MP4 or WebM video that an earlier prompt made."""
    from libs.media.reading import read_film

    film = read_film(context.read_input(file))
    return Movie(context.loader.pictures(film.frames), film.fps, film.sound)


@node("SaveVideo", title="Save Video", category="image/video", output_node=True, hidden=PNG_INFO)
def save_video(
    context: Context,
    *,
    video: Annotated[Video, "What to save."],
    filename_prefix: Annotated[str, PREFIX_TOOLTIP] = "video/ComfyUI",
    format: Annotated[Container, "auto follows the codec."] = "auto",
    codec: Annotated[VideoCodec, CODEC_TOOLTIP + " auto follows the format."] = "auto",
) -> Shown[None]:
    """Save a video, with the workflow that made it inside. MP4 has 8 to 30 frames a second."""
    return _saved(context, video, codec_of(format, codec), filename_prefix)


@node("SaveWEBM", title="SaveWEBM", category="image/video", output_node=True, hidden=PNG_INFO)
def save_webm(
    context: Context,
    *,
    images: Annotated[Image, "The frames."],
    filename_prefix: Annotated[str, PREFIX_TOOLTIP] = "ComfyUI",
    codec: Literal["vp9", "av1"],
    fps: Annotated[float, Widget(min=0.01, max=1000.0, step=0.01), "Frames a second."] = 24.0,
    crf: Annotated[
        float, Widget(min=0, max=63.0, step=1), "Lower is better and makes larger files."
    ] = 32.0,
) -> Shown[None]:
    """Save pictures as a WebM video, for web pages, with the workflow inside."""
    return _saved(context, Movie(images, fps), codec, filename_prefix, crf)


@node(
    "HanzoSaveVideo",
    title="Save Pictures as Video",
    category="image/video",
    output_node=True,
    hidden=PNG_INFO,
    search_aliases=("mp4", "webm", "video"),
)
def save_pictures_as_video(
    context: Context,
    *,
    images: Annotated[Image, "The frames."],
    filename_prefix: Annotated[str, PREFIX_TOOLTIP] = "video/ComfyUI",
    codec: Annotated[Literal["h264", "h265", "vp9"], CODEC_TOOLTIP] = "h264",
    fps: Annotated[float, _Rate, "Frames a second."] = 8.0,
) -> Shown[None]:
    """Save pictures as a video in one step, with the workflow inside."""
    return _saved(context, Movie(images, fps), codec, filename_prefix)


def codec_of(container: Container, codec: VideoCodec) -> FilmCodec:
    """Return the codec that both inputs mean; raise Refused if they do not go together."""
    if codec == "auto":
        return "vp9" if container == "webm" else "h264"
    if container != "auto" and (container == "webm") != (codec == "vp9"):
        raise Refused(
            "this codec does not go into that format",
            field="codec",
            received=codec,
            format=container,
        )
    return codec


def _saved(
    context: Context, video: Video, codec: FilmCodec, prefix: str, crf: float | None = None
) -> Shown[None]:
    def ui() -> JsonObject:
        from libs.media.films import CODECS, encode_film

        data = encode_film(
            video.images.frames(),
            texts(context),
            codec=codec,
            fps=video.fps,
            crf=crf,
            sound=video.audio,
        )
        chosen = CODECS[codec]
        file = animation(video.images, data, chosen.container, chosen.mime, prefix)
        return shown_moving(context, file)

    return Shown(None, ui)
