"""Nodes that read, make and measure pictures, and those that work on whole batches."""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

from libs.nodes.context import Context
from libs.nodes.declare import Choices, Widget, node
from libs.nodes.sockets import (
    BATCH_MAX,
    SIDE_PIXELS_MAX,
    Crop,
    Image,
    ImageScaling,
    Mask,
)

MEGAPIXEL = 1024 * 1024
_Side = Widget(min=1, max=SIDE_PIXELS_MAX, step=1)
_ScaledSide = Widget(min=0, max=SIDE_PIXELS_MAX, step=1)


class Loaded(NamedTuple):
    """A picture and the mask in its alpha channel."""

    IMAGE: Image
    MASK: Annotated[Mask, "White where the picture is transparent."]


class Size(NamedTuple):
    """How large a batch is."""

    width: Annotated[int, "In pixels."]
    height: Annotated[int, "In pixels."]
    batch_size: Annotated[int, "How many pictures."]


@node("LoadImage", title="Load Image", category="image")
def load_image(
    context: Context,
    *,
    image: Annotated[str, Choices("input", upload=True), "An uploaded picture."],
) -> Loaded:
    """Read an uploaded picture."""
    return Loaded(*context.loader.picture(context.read_input(image)))


@node("LoadImageOutput", title="Load Image (from Outputs)", category="image")
def load_image_output(
    context: Context,
    *,
    image: Annotated[
        str, Choices("input", upload=True), "A picture that was made here: `name.png [output]`."
    ],
) -> Loaded:
    """Read a picture that an earlier prompt made."""
    return Loaded(*context.loader.picture(context.read_input(image)))


@node("LoadImageMask", title="Load Image (as Mask)", category="mask")
def load_image_mask(
    context: Context,
    *,
    image: Annotated[str, Choices("input", upload=True), "An uploaded picture."],
    channel: Annotated[
        Literal["alpha", "red", "green", "blue"],
        "Which channel becomes the mask; of alpha, what is transparent becomes white.",
    ],
) -> Mask:
    """Read one channel of an uploaded picture as a mask."""
    return context.loader.picture_mask(context.read_input(image), channel)


@node("EmptyImage", title="EmptyImage", category="image")
def empty_image(
    context: Context,
    *,
    width: Annotated[int, _Side] = 512,
    height: Annotated[int, _Side] = 512,
    batch_size: Annotated[int, Widget(min=1, max=BATCH_MAX)] = 1,
    color: Annotated[int, Widget(min=0, max=0xFFFFFF, step=1, display="color")] = 0,
) -> Image:
    """Make pictures of one colour."""
    return context.loader.blank_image(width=width, height=height, count=batch_size, color=color)


@node("GetImageSize", title="Get Image Size", category="image", hidden={"unique_id": "UNIQUE_ID"})
def image_size(*, image: Image) -> Size:
    """Measure pictures: their sides, and how many there are."""
    return Size(image.width, image.height, image.count)


@node("ImageScale", title="Upscale Image", category="image/upscaling")
def scale_image(
    *,
    image: Image,
    upscale_method: ImageScaling,
    width: Annotated[int, _ScaledSide, "0 keeps the proportions."] = 512,
    height: Annotated[int, _ScaledSide, "0 keeps the proportions."] = 512,
    crop: Crop,
) -> Image:
    """Change the size of pictures."""
    return image.scaled(upscale_method, width, height, crop)


@node("ImageScaleBy", title="Upscale Image By", category="image/upscaling")
def scale_image_by(
    *,
    image: Image,
    upscale_method: ImageScaling,
    scale_by: Annotated[
        float, Widget(min=0.01, max=8.0, step=0.01), "How many times as long each side becomes."
    ] = 1.0,
) -> Image:
    """Change the size of pictures by a factor."""
    width, height = round(image.width * scale_by), round(image.height * scale_by)
    return image.scaled(upscale_method, max(1, width), max(1, height), "disabled")


@node("ImageScaleToTotalPixels", title="Scale Image to Total Pixels", category="image/upscaling")
def scale_to_total_pixels(
    *,
    image: Image,
    upscale_method: ImageScaling,
    megapixels: Annotated[
        float, Widget(min=0.01, max=16.0, step=0.01), "One is 1024 times 1024 pixels."
    ] = 1.0,
) -> Image:
    """Give pictures so many pixels in all, their proportions kept."""
    total = int(megapixels * MEGAPIXEL)
    factor = math.sqrt(total / (image.width * image.height))
    width, height = round(image.width * factor), round(image.height * factor)
    return image.scaled(upscale_method, max(1, width), max(1, height), "disabled")


@node("ImageBatch", title="Batch Images", category="image")
def batch_images(
    *,
    image1: Image,
    image2: Annotated[Image, "Brought to the size of the first, its longer side cut off."],
) -> Image:
    """Put two batches of pictures into one."""
    return image1.joined(image2)


@node("RepeatImageBatch", title="RepeatImageBatch", category="image/batch")
def repeat_batch(
    *,
    image: Image,
    amount: Annotated[int, Widget(min=1, max=BATCH_MAX), "How often the batch is there."] = 1,
) -> Image:
    """Repeat a batch of pictures."""
    return image.repeated(amount)


@node("ImageFromBatch", title="ImageFromBatch", category="image/batch")
def image_from_batch(
    *,
    image: Image,
    batch_index: Annotated[
        int, Widget(min=0, max=BATCH_MAX - 1), "The first to take, counted from 0."
    ] = 0,
    length: Annotated[int, Widget(min=1, max=BATCH_MAX), "How many to take."] = 1,
) -> Image:
    """Take some pictures out of a batch."""
    return image.part(batch_index, length)


@node("RebatchImages", title="Rebatch Images", category="image/batch", takes_lists=True)
def rebatch_images(
    *,
    images: list[Image],
    batch_size: Annotated[
        list[int], Widget(min=1, max=BATCH_MAX), "How many are worked on at a time."
    ] = 1,  # type: ignore[assignment]
) -> list[Image]:
    """Cut pictures into batches that are worked on one after the other."""
    return images[0].rebatched(images[1:], batch_size[0])
