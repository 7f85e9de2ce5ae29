"""Nodes that save pictures and animations, or show them without keeping them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Literal, NamedTuple, TypeAlias

from libs.core.jsonvalue import Json, JsonObject
from libs.media.frames import Pixels
from libs.nodes.context import Context, Folder, OutputFile
from libs.nodes.declare import Shown, Widget, node
from libs.nodes.sockets import Image

Encode: TypeAlias = Callable[[Pixels, Mapping[str, str]], bytes]
PictureFormat = Literal["png", "jpeg", "webp"]
EXTENSIONS: Mapping[PictureFormat, str] = {"png": "png", "jpeg": "jpg", "webp": "webp"}
PNG_INFO = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
PREFIX_TOOLTIP = (
    "Start of the file's name; may hold a folder, %width%, %height%, %batch_num%, %year%, "
    "%month%, %day%, %hour%, %minute% and %second%."
)
FORMAT_TOOLTIP = (
    "PNG loses nothing and opens as its workflow again; JPEG is smaller, for web pages; WebP is "
    "the smallest."
)
_FreeRate = Widget(min=0.01, max=1000.0, step=0.01)
_Quality = Widget(min=0, max=100)


class Saved(NamedTuple):
    """The pictures that were saved, to work on."""

    images: Image


@node(
    "SaveImage",
    title="Save Image",
    category="image",
    output_node=True,
    hidden=PNG_INFO,
    search_aliases=("save", "export", "png", "jpeg", "webp"),
)
def save_image(
    context: Context,
    *,
    images: Annotated[Image, "What to save."],
    filename_prefix: Annotated[str, PREFIX_TOOLTIP] = "ComfyUI",
    format: Annotated[PictureFormat, FORMAT_TOOLTIP] | None = "png",
    jpeg_quality: Annotated[int, Widget(min=85, max=95), "Of JPEG files alone."] | None = 90,
    webp_quality: Annotated[int, Widget(min=80, max=95), "Of WebP files alone."] | None = 90,
) -> Shown[Saved]:
    """Save pictures, by default as PNG, with the workflow that made them inside."""
    kind = format or "png"
    encode = _encoder(kind, jpeg_quality or 90, webp_quality or 90)
    return Shown(Saved(images), _saved(context, images, encode, kind, filename_prefix))


@node("PreviewImage", title="Preview Image", category="image", output_node=True, hidden=PNG_INFO)
def preview_image(context: Context, *, images: Image) -> Shown[Saved]:
    """Show pictures without keeping them."""
    return Shown(Saved(images), _shown(context, images))


@node("SaveImageWebsocket", title="Save Image (Websocket)", category="api/image", output_node=True)
def save_image_websocket(context: Context, *, images: Image) -> Shown[None]:
    """Send pictures to the client as they are, without keeping them."""
    return Shown(None, _shown(context, images))


@node(
    "SaveAnimatedWEBP",
    title="Save Animated WEBP",
    category="image/animation",
    output_node=True,
    hidden=PNG_INFO,
)
def save_animated_webp(
    context: Context,
    *,
    images: Annotated[Image, "The frames."],
    filename_prefix: Annotated[str, PREFIX_TOOLTIP] = "ComfyUI",
    fps: Annotated[float, _FreeRate, "Frames a second."] = 6.0,
    lossless: Annotated[bool, "Keep every pixel; the quality then steers the effort."] = True,
    quality: Annotated[int, _Quality] = 80,
    method: Annotated[
        Literal["default", "fastest", "slowest"], "Slower encoding makes smaller files."
    ],
) -> Shown[None]:
    """Save pictures as one animated WebP, with the workflow inside."""

    def ui() -> JsonObject:
        from libs.media.pictures import encode_animated_webp

        data = encode_animated_webp(
            images.frames(), texts(context), fps=fps, lossless=lossless, quality=quality,
            method=method,
        )  # fmt: skip
        file = animation(images, data, "webp", "image/webp", filename_prefix)
        return shown_moving(context, file, moves=images.count > 1)

    return Shown(None, ui)


@node(
    "SaveAnimatedPNG",
    title="Save Animated PNG",
    category="image/animation",
    output_node=True,
    hidden=PNG_INFO,
)
def save_animated_png(
    context: Context,
    *,
    images: Annotated[Image, "The frames."],
    filename_prefix: Annotated[str, PREFIX_TOOLTIP] = "ComfyUI",
    fps: Annotated[float, _FreeRate, "Frames a second."] = 6.0,
    compress_level: Annotated[
        int, Widget(min=0, max=9), "9 makes the smallest files, and takes longest."
    ] = 4,
) -> Shown[None]:
    """Save pictures as one animated PNG, with the workflow inside."""

    def ui() -> JsonObject:
        from libs.media.pictures import delay_ms
        from libs.media.png import encode_animated_png

        frames = images.frames()
        data = encode_animated_png(frames, texts(context), delay_ms(fps), compress_level)
        file = animation(images, data, "png", "image/png", filename_prefix)
        return shown_moving(context, file, moves=images.count > 1)

    return Shown(None, ui)


@node(
    "HanzoSaveGIF",
    title="Save Animated GIF",
    category="image/animation",
    output_node=True,
    search_aliases=("gif", "animation"),
)
def save_gif(
    context: Context,
    *,
    images: Annotated[Image, "The frames: the first 64 of them are saved."],
    filename_prefix: Annotated[str, PREFIX_TOOLTIP] = "ComfyUI",
    fps: Annotated[float, Widget(min=8.0, max=30.0, step=0.01), "Frames a second."] = 8.0,
    loop: Annotated[bool, "Begin again for ever, or play once."] = True,
) -> Shown[None]:
    """Save pictures as one animated GIF: for short animations and social media."""

    def ui() -> JsonObject:
        from libs.media.pictures import GIF_FRAMES_MAX, encode_gif

        frames = images.frames()
        data = encode_gif(frames[:GIF_FRAMES_MAX], fps, loop=loop)
        file = animation(images, data, "gif", "image/gif", filename_prefix)
        shown = shown_moving(context, file, moves=images.count > 1)
        if len(frames) > GIF_FRAMES_MAX:
            cut = f"A GIF has at most {GIF_FRAMES_MAX} frames: {len(frames)} were given, "
            shown["text"] = [cut + f"the first {GIF_FRAMES_MAX} are in the file."]
        return shown

    return Shown(None, ui)


def texts(context: Context) -> dict[str, str]:
    """Return what is written into every file that a node saves."""
    from libs.media.metadata import texts_for

    return texts_for(context.prompt, context.extra_pnginfo, context.hip_workflow)


def animation(images: Image, data: bytes, extension: str, mime: str, prefix: str) -> OutputFile:
    """Return a file that holds all pictures of a batch."""
    return OutputFile(
        data=data,
        extension=extension,
        mime=mime,
        filename_prefix=prefix,
        width=images.width,
        height=images.height,
    )


def shown_moving(context: Context, file: OutputFile, *, moves: bool = True) -> JsonObject:
    """Keep a file, and show it as editors know moving pictures."""
    return {"images": [context.save(file).as_json()], "animated": [moves]}


def _encoder(kind: PictureFormat, jpeg_quality: int, webp_quality: int) -> Encode:
    def encode(pixels: Pixels, written: Mapping[str, str]) -> bytes:
        from libs.media.pictures import encode_jpeg, encode_webp
        from libs.media.png import encode_png

        match kind:
            case "jpeg":
                return encode_jpeg(pixels, written, jpeg_quality)
            case "webp":
                return encode_webp(pixels, written, webp_quality)
        return encode_png(pixels, written)

    return encode


def _shown(context: Context, images: Image) -> Callable[[], JsonObject]:
    return _saved(context, images, _encoder("png", 0, 0), "png", "ComfyUI_temp", "temp")


def _saved(
    context: Context,
    images: Image,
    encode: Encode,
    kind: PictureFormat,
    prefix: str,
    folder: Folder = "output",
) -> Callable[[], JsonObject]:
    def files() -> Iterable[OutputFile]:
        written = texts(context)
        for number, pixels in enumerate(images.frames()):
            yield OutputFile(
                data=encode(pixels, written),
                extension=EXTENSIONS[kind],
                mime=f"image/{kind}",
                filename_prefix=prefix,
                folder=folder,
                width=images.width,
                height=images.height,
                batch_number=number,
            )

    def ui() -> JsonObject:
        saved: list[Json] = [context.save(file).as_json() for file in files()]
        return {"images": saved}

    return ui
