"""Nodes that read, make, change and keep pictures."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from libs.core.jsonvalue import Json
from libs.nodes.context import Context, Folder, OutputFile
from libs.nodes.declare import Choices, Shown, Widget, node
from libs.nodes.png import chunks_for, encode_png
from libs.nodes.sockets import (
    BATCH_MAX,
    SIDE_PIXELS_MAX,
    Crop,
    Image,
    ImageScaling,
    Mask,
)

_Side = Widget(min=1, max=SIDE_PIXELS_MAX, step=1)
_ScaledSide = Widget(min=0, max=SIDE_PIXELS_MAX, step=1)
_PNG_INFO = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}


class Loaded(NamedTuple):
    """A picture and the mask in its alpha channel."""

    IMAGE: Image
    MASK: Annotated[Mask, "White where the picture is transparent."]


class Saved(NamedTuple):
    """The pictures that were saved, to work on."""

    images: Image


@node("LoadImage", title="Load Image", category="image")
def load_image(
    context: Context,
    *,
    image: Annotated[str, Choices("input", upload=True), "An uploaded picture."],
) -> Loaded:
    """Read an uploaded picture."""
    return Loaded(*context.loader.picture(context.read_input(image)))


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


@node(
    "SaveImage",
    title="Save Image",
    category="image",
    output_node=True,
    hidden=_PNG_INFO,
    search_aliases=("save", "export", "png"),
)
def save_image(
    context: Context,
    *,
    images: Annotated[Image, "What to save."],
    filename_prefix: Annotated[
        str,
        "Start of the file's name; may hold a folder, %width%, %height%, %batch_num%, %year%, "
        "%month%, %day%, %hour%, %minute% and %second%.",
    ] = "ComfyUI",
) -> Shown[Saved]:
    """Save pictures as PNG, with the workflow that made them inside."""
    return Shown(Saved(images), {"images": _save(context, images, filename_prefix, "output")})


@node("PreviewImage", title="Preview Image", category="image", output_node=True, hidden=_PNG_INFO)
def preview_image(context: Context, *, images: Image) -> Shown[Saved]:
    """Show pictures without keeping them."""
    return Shown(Saved(images), {"images": _save(context, images, "ComfyUI_temp", "temp")})


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


@node("ImageInvert", title="Invert Image", category="image")
def invert_image(*, image: Image) -> Image:
    """Turn pictures into their negatives."""
    return image.inverted()


def _save(context: Context, images: Image, prefix: str, folder: Folder) -> Json:
    chunks = chunks_for(context.prompt, context.extra_pnginfo, context.hip_workflow)
    saved: list[Json] = []
    for number, pixels in enumerate(images.frames()):
        file = OutputFile(
            data=encode_png(pixels, chunks),
            extension="png",
            mime="image/png",
            filename_prefix=prefix,
            folder=folder,
            width=images.width,
            height=images.height,
            batch_number=number,
        )
        saved.append(context.save(file).as_json())
    return saved
