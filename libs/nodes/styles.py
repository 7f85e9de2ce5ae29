"""Nodes that say the style of a picture beside a text: Flux Redux and its kin."""

from __future__ import annotations

from typing import Annotated, Literal

from libs.nodes.adapter_sockets import StyleModel
from libs.nodes.context import Context
from libs.nodes.declare import Choices, Widget, node
from libs.nodes.sockets import ClipVisionOutput, Conditioning


@node(
    "StyleModelLoader",
    title="Load Style Model",
    category="loaders",
    search_aliases=("redux", "style model"),
)
def load_style_model(
    context: Context,
    *,
    style_model_name: Annotated[
        str,
        Choices("style_models"),
        "The style model: Redux for Flux, or the style adapter for Stable Diffusion 1.5.",
    ],
) -> StyleModel:
    """Load a network that makes words of what a vision network sees."""
    return context.loader.style_model(context.weights("style_models", style_model_name))


@node(
    "StyleModelApply",
    title="Apply Style Model",
    category="conditioning/style_model",
    search_aliases=("redux", "style transfer", "variation"),
)
def apply_style_model(
    *,
    conditioning: Annotated[Conditioning, "The text that the picture is laid to."],
    style_model: Annotated[StyleModel, "What makes words of the picture."],
    clip_vision_output: Annotated[
        ClipVisionOutput,
        "What was seen in the picture: by SigLIP for Flux Redux, by CLIP-L for the style adapter.",
    ],
    strength: Annotated[
        float,
        Widget(min=0.0, max=10.0, step=0.001),
        "How much the picture counts beside the text.",
    ] = 1.0,
    strength_type: Annotated[
        Literal["multiply", "attn_bias"],
        "Either the picture's words are multiplied by the strength, or they are attended to so "
        "many times as much as others, which at 0 is not at all (Flux alone).",
    ],
) -> Conditioning:
    """Lay what was seen in a picture to a text, as words behind it.

    Several in a row count together.
    """
    return style_model.applied(conditioning, clip_vision_output, strength, strength_type)
