"""Nodes that make videos out of a picture with Stable Video Diffusion."""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeAlias

from libs.nodes.context import Context
from libs.nodes.declare import Choices, Widget, node
from libs.nodes.sockets import (
    SIDE_PIXELS_MAX,
    ClipVision,
    Conditioning,
    Image,
    Latent,
    Model,
    Vae,
)

SVD_FRAMES_MIN = 14
SVD_FRAMES_MAX = 25

_LowestCfg: TypeAlias = Annotated[
    float,
    Widget(min=0.0, max=100.0, step=0.5, round=0.01),
    "Of the frames that are guided least; the sampler's own cfg is that of the others.",
]


class ImageCheckpoint(NamedTuple):
    """The three parts of a checkpoint that takes a picture."""

    MODEL: Annotated[Model, "Denoises latents."]
    CLIP_VISION: Annotated[ClipVision, "Sees the picture."]
    VAE: Annotated[Vae, "Turns pictures into latents, and latents into frames."]


class Animated(NamedTuple):
    """What a video is sampled from."""

    positive: Annotated[Conditioning, "The picture."]
    negative: Annotated[Conditioning, "No picture."]
    latent: Annotated[Latent, "An empty latent for each frame."]


@node(
    "ImageOnlyCheckpointLoader",
    title="Image Only Checkpoint Loader (img2vid model)",
    category="loaders/video_models",
    search_aliases=("svd", "stable video diffusion"),
)
def load_image_checkpoint(
    context: Context,
    *,
    ckpt_name: Annotated[str, Choices("checkpoints"), "The file to load."],
) -> ImageCheckpoint:
    """Load a checkpoint that goes on from a picture and takes no text, such as SVD."""
    path = context.weights("checkpoints", ckpt_name)
    return ImageCheckpoint(*context.loader.image_checkpoint(path))


@node(
    "SVD_img2vid_Conditioning",
    title="SVD_img2vid_Conditioning",
    category="conditioning/video_models",
)
def animate(
    context: Context,
    *,
    clip_vision: ClipVision,
    init_image: Annotated[Image, "The picture that the video goes on from."],
    vae: Vae,
    width: Annotated[int, Widget(min=16, max=SIDE_PIXELS_MAX, step=8), "In pixels."] = 1024,
    height: Annotated[int, Widget(min=16, max=SIDE_PIXELS_MAX, step=8), "In pixels."] = 576,
    video_frames: Annotated[
        int,
        Widget(min=SVD_FRAMES_MIN, max=SVD_FRAMES_MAX),
        "14 for SVD, 25 for SVD-XT; neither knows other lengths well.",
    ] = 14,
    motion_bucket_id: Annotated[
        int, Widget(min=1, max=1023), "Higher is more motion in the video."
    ] = 127,
    fps: Annotated[int, Widget(min=1, max=1024), "Frames a second that the motion is for."] = 6,
    augmentation_level: Annotated[
        float,
        Widget(min=0.0, max=10.0, step=0.01),
        "Noise on the picture; more lets the video leave the picture further behind.",
    ] = 0.0,
) -> Animated:
    """Prepare a video that begins with a picture."""
    positive, negative = clip_vision.animating(
        init_image,
        vae,
        width=width,
        height=height,
        motion_bucket_id=motion_bucket_id,
        fps=fps,
        augmentation_level=augmentation_level,
    )
    latent = context.loader.blank_latent(width=width, height=height, count=video_frames)
    return Animated(positive, negative, latent)


@node("VideoLinearCFGGuidance", title="VideoLinearCFGGuidance", category="sampling/video_models")
def guide_linearly(*, model: Model, min_cfg: _LowestCfg = 1.0) -> Model:
    """Guide the first frame least and the last most: far from the picture more is needed."""
    return model.guided_by_frame("rising", min_cfg)


@node(
    "VideoTriangleCFGGuidance", title="VideoTriangleCFGGuidance", category="sampling/video_models"
)
def guide_triangularly(*, model: Model, min_cfg: _LowestCfg = 1.0) -> Model:
    """Guide the frame in the middle most, and the first and last least, as for a loop."""
    return model.guided_by_frame("triangle", min_cfg)
