"""Looking into picture files: what they are, a smaller preview, single channels, masks."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final, Literal

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from libs.core.errors import Refused

# By content, never by name: what a file is called proves nothing (R377).
FORMATS: Final = ("PNG", "JPEG", "WEBP")
# What the house makes and shows smaller; nobody uploads it.
SHOWN: Final = (*FORMATS, "GIF")
# Some cameras put several pictures into one JPEG, which then goes by a name of its own.
MIMES: Final = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
}
PREVIEW_FORMATS: Final = {"webp": "WEBP", "jpeg": "JPEG"}
PREVIEW_QUALITY: Final = 90
QUALITY_MAX: Final = 100
# What each format can hold; a preview of a larger picture is a smaller one.
SIDE_PIXELS_MAX: Final = {"WEBP": 16_383, "JPEG": 65_500}

Channel = Literal["rgba", "rgb", "a"]
# Everything that Pillow is known to raise on bytes that are no picture.
BROKEN: Final = (
    UnidentifiedImageError,
    OSError,
    ValueError,
    SyntaxError,
    IndexError,
    TypeError,
    OverflowError,
    EOFError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


@dataclass(frozen=True)
class Preview:
    """What `preview=webp;90` asks for."""

    format: str
    quality: int


def mime_of(data: bytes, pixels_max: int) -> str:
    """Return the MIME type of a picture; Refused when it is none that we take."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            found, (width, height) = str(image.format), image.size
            image.verify()
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(pixels_max) from error
    except BROKEN as error:
        raise Refused(
            "Only PNG, JPEG and WebP images are accepted",
            kind="unsupported_media_type",
            status=415,
            field="image",
        ) from error
    if width * height > pixels_max:
        raise _too_many_pixels(pixels_max)
    return MIMES[found]


def preview_of(text: str) -> Preview:
    """Read `webp`, `webp;90` or `jpeg;80`; what cannot be read is the usual preview."""
    name, _, quality = text.partition(";")
    usable = quality.isascii() and quality.isdigit() and len(quality) <= len(str(QUALITY_MAX))
    chosen = min(max(int(quality), 1), QUALITY_MAX) if usable else PREVIEW_QUALITY
    return Preview(PREVIEW_FORMATS.get(name.lower(), "WEBP"), chosen)


def render_preview(data: bytes, preview: Preview, channel: Channel) -> tuple[bytes, str]:
    """Return a picture as a preview, with its MIME type."""
    with _opened(data) as image:
        shown = image.convert("RGB" if preview.format == "JPEG" or channel == "rgb" else "RGBA")
        side = SIDE_PIXELS_MAX[preview.format]
        shown.thumbnail((side, side))
        return _written(shown, preview.format, quality=preview.quality)


def render_channel(data: bytes, channel: Channel) -> tuple[bytes, str]:
    """Return only the colours of a picture, or only its alpha, as PNG."""
    with _opened(data) as image:
        if channel == "rgb":
            shown = image.convert("RGB")
            # It is said of the colours that the file had, and is no colour of these.
            shown.info.pop("transparency", None)
            return _written(shown, "PNG")
        alpha = image.convert("RGBA").getchannel("A")
        shown = Image.new("RGBA", image.size)
        shown.putalpha(alpha)
        return _written(shown, "PNG")


def with_mask(original: bytes, mask: bytes) -> bytes:
    """Return the original with the alpha of `mask`, its text chunks kept."""
    with _opened(original) as image, _opened(mask) as masking:
        texts = PngInfo()
        for name, text in image.info.items():
            if isinstance(name, str) and isinstance(text, str):
                texts.add_text(name, text)
        shown = image.convert("RGBA")
        alpha = masking.convert("RGBA").getchannel("A")
        if alpha.size != shown.size:
            alpha = alpha.resize(shown.size)
        shown.putalpha(alpha)
        out = io.BytesIO()
        shown.save(out, "PNG", pnginfo=texts)
        return out.getvalue()


def _opened(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=SHOWN)
        image.load()
    except BROKEN as error:
        raise Refused(
            "This image cannot be decoded",
            kind="unsupported_media_type",
            status=415,
            field="image",
        ) from error
    return image


def _written(image: Image.Image, name: str, **options: int) -> tuple[bytes, str]:
    out = io.BytesIO()
    image.save(out, name, **options)
    return out.getvalue(), MIMES[name]


def _too_many_pixels(pixels_max: int) -> Refused:
    return Refused(
        f"The image has more than {pixels_max} pixels",
        kind="too_large",
        status=413,
        field="image",
        limit=pixels_max,
    )
