"""Nodes that change pictures: cut and turn them, lay them over each other, soften and colour them."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from libs.nodes.declare import Widget, node
from libs.nodes.picture_sockets import BlendMode, Dither, LayerMode, Side, SpacingColour
from libs.nodes.sockets import SIDE_PIXELS_MAX, Image, Mask

_Side = Widget(min=1, max=SIDE_PIXELS_MAX, step=1)
_Place = Widget(min=0, max=SIDE_PIXELS_MAX, step=1)
_Padding = Widget(min=0, max=SIDE_PIXELS_MAX, step=8)
_Radius = Widget(min=1, max=31, step=1)
_Factor = Widget(min=0.0, max=3.0, step=0.01)


class Masked(NamedTuple):
    """Pictures, and the mask that belongs to them."""

    IMAGE: Image
    MASK: Mask


@node("ImageInvert", title="Invert Image", category="image")
def invert_image(*, image: Image) -> Image:
    """Turn pictures into their negatives."""
    return image.inverted()


@node("ImageCrop", title="Image Crop", category="image/transform")
def crop_image(
    *,
    image: Image,
    width: Annotated[int, _Side] = 512,
    height: Annotated[int, _Side] = 512,
    x: Annotated[int, _Place, "From the left, in pixels."] = 0,
    y: Annotated[int, _Place, "From the top, in pixels."] = 0,
) -> Image:
    """Cut a rectangle out of pictures; it ends where they do."""
    return image.cropped(x, y, width, height)


@node("ImagePadForOutpaint", title="Pad Image for Outpainting", category="image")
def pad_for_outpaint(
    *,
    image: Image,
    left: Annotated[int, _Padding, "In pixels."] = 0,
    top: Annotated[int, _Padding, "In pixels."] = 0,
    right: Annotated[int, _Padding, "In pixels."] = 0,
    bottom: Annotated[int, _Padding, "In pixels."] = 0,
    feathering: Annotated[
        int, _Place, "How far into the picture the mask fades out, in pixels."
    ] = 40,
) -> Masked:
    """Put grey around pictures, and mask it so that it can be painted."""
    edges = {"left": left, "top": top, "right": right, "bottom": bottom}
    return Masked(*image.padded(**edges, feathering=feathering))


@node("ImageFlip", title="ImageFlip", category="image/transform")
def flip_image(
    *, image: Image, flip_method: Literal["x-axis: vertically", "y-axis: horizontally"]
) -> Image:
    """Mirror pictures, top to bottom or left to right."""
    return image.flipped(upside_down=flip_method.startswith("x"))


@node("ImageRotate", title="ImageRotate", category="image/transform")
def rotate_image(
    *, image: Image, rotation: Literal["none", "90 degrees", "180 degrees", "270 degrees"]
) -> Image:
    """Turn pictures clockwise by quarters."""
    return image.turned(("none", "90 degrees", "180 degrees", "270 degrees").index(rotation))


@node("ImageStitch", title="Image Stitch", category="image/transform")
def stitch_images(
    *,
    image1: Image,
    direction: Annotated[Side, "Where the second picture goes."] = "right",
    match_image_size: Annotated[
        bool, "Scale the second until the sides that meet are equally long; else both are centred."
    ] = True,
    spacing_width: Annotated[
        int, Widget(min=0, max=1024, step=2), "Of the bar in between, in pixels."
    ] = 0,
    spacing_color: Annotated[SpacingColour, "Of the bar in between."] = "white",
    image2: Annotated[Image, "Left out, the first goes on as it is."] | None = None,
) -> Image:
    """Put two pictures side by side in one."""
    if image2 is None:
        return image1
    return image1.stitched(
        image2,
        side=direction,
        match_size=match_image_size,
        spacing=spacing_width,
        colour=spacing_color,
    )


@node("ImageCompositeMasked", title="ImageCompositeMasked", category="image")
def composite_masked(
    *,
    destination: Annotated[Image, "What lies below."],
    source: Annotated[Image, "What is laid over it."],
    x: Annotated[int, _Place, "From the left, in pixels."] = 0,
    y: Annotated[int, _Place, "From the top, in pixels."] = 0,
    resize_source: Annotated[bool, "Stretch the source over the whole destination."] = False,
    mask: Annotated[Mask, "Where it is white the source is seen; stretched over the source."]
    | None = None,
) -> Image:
    """Lay pictures over others."""
    return destination.pasted(source, x, y, mask, resize=resize_source)


@node("ImageBlend", title="ImageBlend", category="image/postprocessing")
def blend_images(
    *,
    image1: Image,
    image2: Annotated[Image, "Brought to the size of the first."],
    blend_factor: Annotated[
        float, Widget(min=0.0, max=1.0, step=0.01), "0 is the first alone, 1 the mixture alone."
    ] = 0.5,
    blend_mode: Annotated[BlendMode, "How the mixture is made."],
) -> Image:
    """Mix two pictures."""
    return image1.blended(image2, blend_mode, blend_factor)


@node("ImageBlur", title="ImageBlur", category="image/postprocessing")
def blur_image(
    *,
    image: Image,
    blur_radius: Annotated[int, _Radius, "In pixels."] = 1,
    sigma: Annotated[
        float, Widget(min=0.1, max=10.0, step=0.1), "How flat the bell is, in radii."
    ] = 1.0,
) -> Image:
    """Soften pictures with a Gaussian."""
    return image.blurred(blur_radius, sigma)


@node("ImageSharpen", title="ImageSharpen", category="image/postprocessing")
def sharpen_image(
    *,
    image: Image,
    sharpen_radius: Annotated[int, _Radius, "In pixels."] = 1,
    sigma: Annotated[
        float, Widget(min=0.1, max=10.0, step=0.01), "How flat the bell is, in radii."
    ] = 1.0,
    alpha: Annotated[float, Widget(min=0.0, max=5.0, step=0.01), "How much."] = 1.0,
) -> Image:
    """Harden the edges in pictures."""
    return image.sharpened(sharpen_radius, sigma, alpha)


@node("ImageQuantize", title="ImageQuantize", category="image/postprocessing")
def quantize_image(
    *,
    image: Image,
    colors: Annotated[int, Widget(min=1, max=256, step=1), "At most so many in a picture."] = 256,
    dither: Annotated[Dither, "How colours in between are suggested."],
) -> Image:
    """Draw each picture in few colours."""
    return image.quantized(colors, dither)


@node(
    "HanzoAdjustColor",
    title="Adjust Color",
    category="image/postprocessing",
    search_aliases=("brightness", "contrast", "saturation", "hue", "gamma"),
)
def adjust_colour(
    *,
    image: Image,
    brightness: Annotated[float, _Factor, "Every colour is multiplied by it."] = 1.0,
    contrast: Annotated[float, _Factor, "How far colours lie from mid grey."] = 1.0,
    saturation: Annotated[float, _Factor, "How far colours lie from their own grey."] = 1.0,
    hue: Annotated[
        float, Widget(min=-180.0, max=180.0, step=1.0), "Turn on the colour wheel, in degrees."
    ] = 0.0,
    gamma: Annotated[
        float, Widget(min=0.1, max=5.0, step=0.01), "Above 1 the dark parts become brighter."
    ] = 1.0,
) -> Image:
    """Change gamma, brightness, contrast, saturation and hue of pictures, in that order."""
    return image.adjusted(
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue_degrees=hue,
        gamma=gamma,
    )


@node("JoinImageWithAlpha", title="Join Image with Alpha", category="mask/compositing")
def join_alpha(*, image: Image, alpha: Annotated[Mask, "White becomes transparent."]) -> Image:
    """Make pictures transparent where a mask is white."""
    return image.with_alpha(alpha)


@node("SplitImageWithAlpha", title="Split Image with Alpha", category="mask/compositing")
def split_alpha(*, image: Image) -> Masked:
    """Take pictures apart: their colours, and a mask that is white where they are transparent."""
    return Masked(*image.split_alpha())


@node("PorterDuffImageComposite", title="Porter-Duff Image Composite", category="mask/compositing")
def porter_duff(
    *,
    source: Annotated[Image, "What is laid above."],
    source_alpha: Annotated[Mask, "White where the source is transparent."],
    destination: Annotated[Image, "What lies below."],
    destination_alpha: Annotated[Mask, "White where the destination is transparent."],
    mode: Annotated[LayerMode, "Which parts of both are kept."] = "DST",
) -> Masked:
    """Lay transparent pictures over each other by one of Porter and Duff's rules."""
    return Masked(*source.composited(source_alpha, destination, destination_alpha, mode))
