"""PNG files, still and animated: one fixed encoder, whose bytes depend on zlib alone.

Filters are chosen row by row (the one whose differences are smallest in sum, the first of equals),
the rows are deflated at a fixed level, and nothing else is written but the given texts.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from libs.core.errors import Refused
from libs.media.frames import Pixels

COMPRESS_LEVEL: Final = 4
KEYWORD_BYTES_MAX: Final = 79
BAND_ROWS: Final = 128
COLOUR_TYPES: Final = {3: 2, 4: 6}
SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


def encode_png(pixels: Pixels, texts: Mapping[str, str], level: int = COMPRESS_LEVEL) -> bytes:
    """Encode a picture with the texts in the given order; equal input gives equal bytes."""
    return b"".join((*_head(pixels, texts), _chunk(b"IDAT", deflated(pixels, level)), _end()))


def encode_animated_png(
    frames: Sequence[Pixels], texts: Mapping[str, str], delay_ms: int, level: int = COMPRESS_LEVEL
) -> bytes:
    """Encode frames that are shown one after the other, for ever; `delay_ms` apart."""
    first, *others = frames
    if any(frame.shape != first.shape for frame in others):
        raise Refused("all frames of an animation have one size", frames=len(frames))
    delay = min(delay_ms, 0xFFFF)
    parts = [*_head(first, texts, _chunk(b"acTL", struct.pack(">II", len(frames), 0)))]
    parts += [_frame_control(first, 0, delay), _chunk(b"IDAT", deflated(first, level))]
    for number, frame in enumerate(others):
        data = struct.pack(">I", 2 * number + 2) + deflated(frame, level)
        parts += [_frame_control(frame, 2 * number + 1, delay), _chunk(b"fdAT", data)]
    return b"".join((*parts, _end()))


def deflated(pixels: Pixels, level: int) -> bytes:
    """Return the filtered rows of a picture, deflated."""
    deflate = zlib.compressobj(
        level, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_FILTERED
    )
    parts = [deflate.compress(band.tobytes()) for band in filtered(pixels)]
    return b"".join((*parts, deflate.flush()))


def filtered(pixels: Pixels) -> Iterator[NDArray[np.uint8]]:
    """Yield the rows in bands, each behind the number of its filter."""
    height, width, channels = pixels.shape
    rows = np.ascontiguousarray(pixels).reshape(height, width * channels)
    # The row above the first and the pixel left of the first are black.
    above = np.zeros((1, width * channels), np.uint8)
    for top in range(0, height, BAND_ROWS):
        band = rows[top : top + BAND_ROWS]
        yield _filtered_band(band, np.concatenate((above, band[:-1])), channels)
        above = band[-1:]


def _filtered_band(
    raw: NDArray[np.uint8], up: NDArray[np.uint8], channels: int
) -> NDArray[np.uint8]:
    left, upper_left = np.zeros_like(raw), np.zeros_like(raw)
    left[:, channels:] = raw[:, :-channels]
    upper_left[:, channels:] = up[:, :-channels]
    mean = (left & up) + ((left ^ up) >> 1)
    choices = np.stack((raw, raw - left, raw - up, raw - mean, raw - _paeth(left, up, upper_left)))
    # A byte counts with its distance from 0, 255 being a step back.
    costs = np.minimum(choices, -choices).sum(axis=2, dtype=np.uint32)
    best = costs.argmin(axis=0)
    out = np.empty((raw.shape[0], raw.shape[1] + 1), np.uint8)
    out[:, 0] = best
    out[:, 1:] = choices[best, np.arange(raw.shape[0])]
    return out


def _paeth(
    left: NDArray[np.uint8], up: NDArray[np.uint8], upper_left: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Return whichever neighbour is nearest to left + up - upper left, in that order."""
    across = up.astype(np.int16) - upper_left
    down = left.astype(np.int16) - upper_left
    to_left, to_up, to_corner = np.abs(across), np.abs(down), np.abs(across + down)
    nearest = np.where(to_up <= to_corner, up, upper_left)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, nearest)


def _head(pixels: Pixels, texts: Mapping[str, str], *extra: bytes) -> Iterator[bytes]:
    height, width, channels = pixels.shape
    yield SIGNATURE
    shape = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    yield _chunk(b"IHDR", shape)
    yield from extra
    for name, text in texts.items():
        keyword = name.encode("latin-1", "replace")
        # What is no keyword would make the whole file unreadable.
        if 0 < len(keyword) <= KEYWORD_BYTES_MAX and name.isprintable():
            yield _chunk(b"tEXt", keyword + b"\0" + text.encode("latin-1", "backslashreplace"))


def _frame_control(pixels: Pixels, number: int, delay_ms: int) -> bytes:
    height, width, _ = pixels.shape
    return _chunk(
        b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, 0, 0, delay_ms, 1000, 0, 0)
    )


def _end() -> bytes:
    return _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
