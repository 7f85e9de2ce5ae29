"""Nodes that let a model of pictures make videos, with AnimateDiff's motion modules."""

from __future__ import annotations

from typing import Annotated

from libs.nodes.context import Context
from libs.nodes.declare import Choices, Widget, node
from libs.nodes.sockets import SIDE_PIXELS_MAX, Latent, Model, MotionModel

FRAMES_MIN = 16
FRAMES_MAX = 32


@node(
    "MotionModelLoader",
    title="Load Motion Model",
    category="loaders/video_models",
    search_aliases=("animatediff", "motion module"),
)
def load_motion_model(
    context: Context,
    *,
    motion_name: Annotated[str, Choices("motion"), "The file to load."],
) -> MotionModel:
    """Load a motion module of AnimateDiff, such as mm_sd_v15_v2."""
    return context.loader.motion_model(context.weights("motion", motion_name))


@node(
    "AnimateDiffApply",
    title="Apply AnimateDiff",
    category="model_patches/video_models",
    search_aliases=("animate", "motion"),
)
def apply_motion(
    *,
    model: Annotated[Model, "Makes pictures; Stable Diffusion 1 or SDXL, as the motion model."],
    motion_model: MotionModel,
    context_length: Annotated[
        int,
        Widget(min=8, max=FRAMES_MAX),
        "How many frames are seen at a time. Motion modules were trained with 16; longer videos "
        "are seen in spans that overlap.",
    ] = 16,
    context_overlap: Annotated[
        int,
        Widget(min=0, max=FRAMES_MAX - 1),
        "How many frames of a span were in the one before; more makes smoother seams.",
    ] = 4,
) -> Model:
    """Let a model make a video: the latents of a batch become its frames, 16 to 32 of them."""
    return motion_model.applied_to(model, context_length, context_overlap)


@node("EmptyLatentVideo", title="Empty Latent Video", category="latent/video")
def empty_video(
    context: Context,
    *,
    width: Annotated[int, Widget(min=16, max=SIDE_PIXELS_MAX, step=8), "In pixels."] = 512,
    height: Annotated[int, Widget(min=16, max=SIDE_PIXELS_MAX, step=8), "In pixels."] = 512,
    length: Annotated[int, Widget(min=FRAMES_MIN, max=FRAMES_MAX), "How many frames."] = 16,
) -> Latent:
    """Make an empty latent for each frame of a video that AnimateDiff makes."""
    return context.loader.blank_latent(width=width, height=height, count=length)
