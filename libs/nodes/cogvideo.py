"""Nodes that make videos out of texts with CogVideoX."""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeAlias

from libs.core.errors import Refused
from libs.nodes.context import Context
from libs.nodes.declare import Choices, Widget, node
from libs.nodes.sockets import SIDE_PIXELS_MAX, Clip, Conditioning, Image, Latent, Model, Vae

SECONDS_MAX = 6
FRAMES_PER_SECOND = 8
# Six seconds of version 1.5, which makes sixteen frames a second.
LENGTH_MAX = 97

_Side = Widget(min=16, max=SIDE_PIXELS_MAX, step=16)
_Length: TypeAlias = Annotated[
    int,
    Widget(min=1, max=LENGTH_MAX, step=4),
    "How many frames: four for each step, and one. The whole may last six seconds.",
]
_Fps: TypeAlias = Annotated[
    int,
    Widget(min=1, max=60),
    "Frames a second that the video will be shown with: 8, and 16 for version 1.5.",
]


class CogVideoX(NamedTuple):
    """The three parts of CogVideoX."""

    MODEL: Annotated[Model, "Denoises latents of videos."]
    CLIP: Annotated[Clip, "Encodes texts with T5."]
    VAE: Annotated[Vae, "Turns latents into frames."]


class Begun(NamedTuple):
    """What a video that begins with a picture is sampled from."""

    positive: Annotated[Conditioning, "The text, with the picture."]
    negative: Annotated[Conditioning, "The other text, with the picture."]
    latent: Annotated[Latent, "An empty latent of the video."]


@node(
    "CogVideoXLoader",
    title="Load CogVideoX",
    category="loaders/video_models",
    search_aliases=("cogvideo", "text to video"),
)
def load_cogvideo(
    context: Context,
    *,
    model_name: Annotated[str, Choices("diffusion_models"), "The transformer."],
    clip_name: Annotated[str, Choices("text_encoders"), "T5, as Flux and SD3 have it too."],
    vae_name: Annotated[str, Choices("vae"), "CogVideoX's own VAE."],
) -> CogVideoX:
    """Load CogVideoX from three files: 2B, 5B, 1.5, and those that go on from a picture."""
    return CogVideoX(
        *context.loader.video_model(
            context.weights("diffusion_models", model_name),
            context.weights("text_encoders", clip_name),
            context.weights("vae", vae_name),
        )
    )


@node(
    "EmptyCogVideoXLatentVideo",
    title="Empty CogVideoX Latent Video",
    category="latent/video",
)
def empty_cogvideo(
    context: Context,
    *,
    width: Annotated[int, _Side, "In pixels."] = 720,
    height: Annotated[int, _Side, "In pixels."] = 480,
    length: _Length = 49,
    fps: _Fps = FRAMES_PER_SECOND,
) -> Latent:
    """Make an empty latent of a video that is made out of a text alone."""
    _require_seconds(length, fps)
    return context.loader.blank_video(width=width, height=height, length=length)


@node(
    "CogVideoXImageToVideo",
    title="CogVideoX Image to Video",
    category="conditioning/video_models",
)
def begin_with_picture(
    context: Context,
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    start_image: Annotated[Image, "The picture that the video begins with."],
    width: Annotated[int, _Side, "In pixels."] = 720,
    height: Annotated[int, _Side, "In pixels."] = 480,
    length: _Length = 49,
    fps: _Fps = FRAMES_PER_SECOND,
) -> Begun:
    """Let a video begin with a picture, for the models that take one (I2V)."""
    _require_seconds(length, fps)
    fitted = start_image.scaled("bilinear", width, height, "center")
    first = vae.beginning(fitted, length)
    latent = context.loader.blank_video(width=width, height=height, length=length)
    return Begun(first.leading(positive), first.leading(negative), latent)


def _require_seconds(length: int, fps: int) -> None:
    """Raise Refused if a video would last too long; its first frame takes no time."""
    seconds = (length - 1) / fps
    if seconds > SECONDS_MAX:
        raise Refused(
            "a video lasts up to 6 seconds",
            field="length",
            received=round(seconds, 2),
            maximum=SECONDS_MAX,
            length_max=SECONDS_MAX * fps + 1,
        )
