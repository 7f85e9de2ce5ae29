"""JPEG, WebP and GIF files, still and moving, by Pillow."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal

from PIL import Image as Pillow

from libs.core.errors import Refused
from libs.media.frames import Pixels
from libs.media.metadata import JPEG_EXIF_BYTES_MAX, exif_of

JPEG_QUALITY_MIN: Final = 85
WEBP_QUALITY_MIN: Final = 80
QUALITY_MAX: Final = 95
QUALITY: Final = 90
GIF_FRAMES_MAX: Final = 64
GIF_COLOURS: Final = 256
WebpMethod = Literal["default", "fastest", "slowest"]
WEBP_METHODS: Final[Mapping[str, int]] = {"default": 4, "fastest": 0, "slowest": 6}
DELAY_MS_MIN: Final = 1
SIDE_PIXELS_MAX: Final = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535}


def encode_jpeg(pixels: Pixels, texts: Mapping[str, str], quality: int = QUALITY) -> bytes:
    """Encode a picture as JPEG, its alpha dropped."""
    require_quality("JPEG", quality, JPEG_QUALITY_MIN)
    exif = exif_of(texts, JPEG_EXIF_BYTES_MAX)
    return _written([_opaque(pixels)], "JPEG", quality=quality, exif=exif)


def encode_webp(pixels: Pixels, texts: Mapping[str, str], quality: int = QUALITY) -> bytes:
    """Encode a picture as WebP."""
    require_quality("WebP", quality, WEBP_QUALITY_MIN)
    return _written([Pillow.fromarray(pixels)], "WEBP", quality=quality, exif=exif_of(texts))


def encode_animated_webp(
    frames: Sequence[Pixels],
    texts: Mapping[str, str],
    *,
    fps: float,
    lossless: bool,
    quality: int,
    method: WebpMethod,
) -> bytes:
    """Encode frames as an animated WebP that never stops."""
    return _written(
        [Pillow.fromarray(frame) for frame in frames],
        "WEBP",
        exif=exif_of(texts),
        duration=delay_ms(fps),
        lossless=lossless,
        quality=quality,
        method=WEBP_METHODS[method],
    )


def encode_gif(frames: Sequence[Pixels], fps: float, loop: bool = True) -> bytes:
    """Encode frames as an animated GIF, each with the 256 colours that suit it best."""
    if len(frames) > GIF_FRAMES_MAX:
        raise Refused("a GIF has too many frames", field="images", limit=GIF_FRAMES_MAX)
    drawn = [_opaque(frame).quantize(GIF_COLOURS) for frame in frames]
    options = {"loop": 0} if loop else {}
    return _written(drawn, "GIF", duration=_gif_delays(len(drawn), fps), optimize=False, **options)


def delay_ms(fps: float) -> int:
    """Return the pause between frames, cut to whole milliseconds as ComfyUI does."""
    return max(DELAY_MS_MIN, int(1000.0 / fps))


def require_quality(name: str, quality: int, least: int) -> None:
    """Raise Refused for a quality outside the bounds of the format."""
    if not least <= quality <= QUALITY_MAX:
        raise Refused(
            f"the quality of {name} lies between {least} and {QUALITY_MAX}",
            field="quality",
            received=quality,
            minimum=least,
            maximum=QUALITY_MAX,
        )


def _gif_delays(count: int, fps: float) -> list[int]:
    """Return milliseconds per frame: GIF knows hundredths, so they differ by one to keep time."""
    ticks = [round(number * 100 / fps) for number in range(count + 1)]
    return [max(1, after - before) * 10 for before, after in pairwise(ticks)]


def _opaque(pixels: Pixels) -> Pillow.Image:
    return Pillow.fromarray(pixels[..., :3])


def _written(frames: Sequence[Pillow.Image], kind: str, **options: object) -> bytes:
    first, *others = frames
    if max(first.size) > SIDE_PIXELS_MAX[kind]:
        raise Refused(f"a {kind} file cannot be so large", limit=SIDE_PIXELS_MAX[kind])
    if others:
        options |= {"save_all": True, "append_images": others}
    file = io.BytesIO()
    try:
        first.save(file, kind, **options)
    except KeyError as error:
        raise Refused(f"this worker cannot write {kind} files", format=kind) from error
    return file.getvalue()
