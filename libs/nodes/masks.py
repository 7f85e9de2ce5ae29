"""Nodes that make and change masks."""

from __future__ import annotations

from typing import Annotated

from libs.nodes.context import Context
from libs.nodes.declare import Widget, node
from libs.nodes.picture_sockets import Channel, MaskOperation
from libs.nodes.sockets import SIDE_PIXELS_MAX, Image, Mask

_Side = Widget(min=1, max=SIDE_PIXELS_MAX, step=1)
_Place = Widget(min=0, max=SIDE_PIXELS_MAX, step=1)
_Value = Widget(min=0.0, max=1.0, step=0.01)


@node("MaskToImage", title="Convert Mask to Image", category="mask")
def mask_to_image(*, mask: Mask) -> Image:
    """Show a mask as a grey picture."""
    return mask.as_picture()


@node("ImageToMask", title="Convert Image to Mask", category="mask")
def image_to_mask(*, image: Image, channel: Channel) -> Mask:
    """Take one channel of pictures as a mask."""
    return image.channel(channel)


@node("ImageColorToMask", title="ImageColorToMask", category="mask")
def colour_to_mask(
    *,
    image: Image,
    color: Annotated[
        int, Widget(min=0, max=0xFFFFFF, step=1, display="color"), "The colour, as 0xRRGGBB."
    ] = 0,
) -> Mask:
    """Mask every pixel that has exactly one colour."""
    return image.coloured(color)


@node("SolidMask", title="SolidMask", category="mask")
def solid_mask(
    context: Context,
    *,
    value: Annotated[float, _Value] = 1.0,
    width: Annotated[int, _Side] = 512,
    height: Annotated[int, _Side] = 512,
) -> Mask:
    """Make a mask of one value."""
    return context.loader.blank_mask(width=width, height=height, value=value)


@node("InvertMask", title="InvertMask", category="mask")
def invert_mask(*, mask: Mask) -> Mask:
    """Swap what is masked and what is not."""
    return mask.inverted()


@node("CropMask", title="CropMask", category="mask")
def crop_mask(
    *,
    mask: Mask,
    x: Annotated[int, _Place, "From the left, in pixels."] = 0,
    y: Annotated[int, _Place, "From the top, in pixels."] = 0,
    width: Annotated[int, _Side] = 512,
    height: Annotated[int, _Side] = 512,
) -> Mask:
    """Cut a rectangle out of a mask; it ends where the mask does."""
    return mask.cropped(x, y, width, height)


@node("MaskComposite", title="MaskComposite", category="mask")
def composite_masks(
    *,
    destination: Mask,
    source: Annotated[Mask, "What is worked into the destination."],
    x: Annotated[int, _Place, "From the left, in pixels."] = 0,
    y: Annotated[int, _Place, "From the top, in pixels."] = 0,
    operation: Annotated[MaskOperation, "and, or, xor round to black and white first."],
) -> Mask:
    """Work one mask into another."""
    return destination.combined(source, x, y, operation)


@node("FeatherMask", title="FeatherMask", category="mask")
def feather_mask(
    *,
    mask: Mask,
    left: Annotated[int, _Place, "In pixels."] = 0,
    top: Annotated[int, _Place, "In pixels."] = 0,
    right: Annotated[int, _Place, "In pixels."] = 0,
    bottom: Annotated[int, _Place, "In pixels."] = 0,
) -> Mask:
    """Let a mask fade out towards its edges."""
    return mask.feathered(left=left, top=top, right=right, bottom=bottom)


@node("GrowMask", title="Grow Mask", category="mask")
def grow_mask(
    *,
    mask: Mask,
    expand: Annotated[
        int,
        Widget(min=-SIDE_PIXELS_MAX, max=SIDE_PIXELS_MAX, step=1),
        "By how many pixels; below 0 the mask shrinks.",
    ] = 0,
    tapered_corners: Annotated[bool, "Cut the corners off instead of growing in squares."] = True,
) -> Mask:
    """Spread what is masked, or shrink it."""
    return mask.grown(expand, tapered=tapered_corners)


@node("ThresholdMask", title="ThresholdMask", category="mask")
def threshold_mask(
    *, mask: Mask, value: Annotated[float, _Value, "What lies above it becomes white."] = 0.5
) -> Mask:
    """Turn a mask into black and white."""
    return mask.above(value)
