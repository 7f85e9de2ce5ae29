"""Nodes that look at pictures."""

from __future__ import annotations

from typing import Annotated, Literal

from libs.nodes.context import Context
from libs.nodes.declare import Choices, node
from libs.nodes.sockets import ClipVision, ClipVisionOutput, Image


@node("CLIPVisionLoader", title="Load CLIP Vision", category="loaders")
def load_clip_vision(
    context: Context,
    *,
    clip_name: Annotated[str, Choices("clip_vision"), "The file to load."],
) -> ClipVision:
    """Load a CLIP vision network, which sees what a picture is of."""
    return context.loader.clip_vision(context.weights("clip_vision", clip_name))


@node("CLIPVisionEncode", title="CLIP Vision Encode", category="conditioning")
def encode_vision(
    *,
    clip_vision: Annotated[ClipVision, "Sees the picture."],
    image: Annotated[Image, "What to look at; several pictures are looked at one by one."],
    crop: Annotated[
        Literal["center", "none"],
        "The network sees squares: cut the middle out, or squeeze the whole picture into one.",
    ],
) -> ClipVisionOutput:
    """Look at pictures, for nodes that draw by example."""
    return clip_vision.encode(image, crop)
