"""Nodes that make pictures larger with a network."""

from __future__ import annotations

from typing import Annotated

from libs.nodes.context import Context
from libs.nodes.declare import Choices, node
from libs.nodes.sockets import Image, UpscaleModel


@node("UpscaleModelLoader", title="Load Upscale Model", category="loaders")
def load_upscale_model(
    context: Context,
    *,
    model_name: Annotated[str, Choices("upscale"), "The file to load."],
) -> UpscaleModel:
    """Load a network that makes pictures larger."""
    return context.loader.upscale_model(context.weights("upscale", model_name))


@node(
    "ImageUpscaleWithModel",
    title="Upscale Image (using Model)",
    category="image/upscaling",
    search_aliases=("upscale", "enlarge", "super resolution"),
)
def upscale_with_model(context: Context, *, upscale_model: UpscaleModel, image: Image) -> Image:
    """Make pictures larger with a network; the factor is the network's own."""
    return upscale_model.upscale(image, context.step)
