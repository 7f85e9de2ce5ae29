"""Pictures out of files and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps, ImageSequence, UnidentifiedImageError

from libs.core.errors import Refused
from libs.diffusion.picture import PIXELS_MAX
from libs.diffusion.values import Mask, Picture
from libs.media.frames import Pixels

EMPTY_MASK_SIDE = 64
FRAMES_MAX = 4096


def decode_picture(data: bytes) -> tuple[Picture, Mask]:
    """Return the frames of an image file, upright, and the mask: 1 where it is transparent."""
    with _opened(data) as file:
        frames = _frames_of_one_size(file)
    return (
        Picture(torch.stack([torch.from_numpy(_rgb(frame)) for frame in frames])),
        Mask(torch.stack([torch.from_numpy(_mask(frame)) for frame in frames])),
    )


def decode_mask(data: bytes, channel: str) -> Mask:
    """Return one channel of an image file; of alpha what is transparent, which may be nothing."""
    with _opened(data) as file:
        upright = ImageOps.exif_transpose(file) or file
        band = _eight_bits(upright).convert("RGBA").getchannel(channel[0].upper())
    values = torch.from_numpy(np.array(band).astype(np.float32) / np.float32(255.0))
    return Mask((1.0 - values if channel == "alpha" else values)[None])


def picture_of(frames: Sequence[Pixels]) -> Picture:
    """Return frames as pictures."""
    # One after the other, so that there is never a second copy of all of them.
    pixels = torch.empty(len(frames), *frames[0].shape)
    for place, frame in zip(pixels, frames, strict=True):
        torch.div(torch.from_numpy(frame), 255.0, out=place)
    return Picture(pixels)


def blank_picture(*, width: int, height: int, count: int, color: int) -> Picture:
    """Return pictures of one colour, given as 0xRRGGBB."""
    channels = [(color >> shift) & 0xFF for shift in (16, 8, 0)]
    pixels = torch.tensor(channels, dtype=torch.float32) / 255.0
    return Picture(pixels.expand(count, height, width, 3).clone())


@contextmanager
def _opened(data: bytes) -> Iterator[Pillow.Image]:
    try:
        with Pillow.open(BytesIO(data)) as file:
            if file.width * file.height > PIXELS_MAX:
                raise Refused("the picture has too many pixels", maximum=PIXELS_MAX)
            yield file
    except (UnidentifiedImageError, Pillow.DecompressionBombError, OSError, SyntaxError) as error:
        raise Refused("the file is not a picture that can be read", reason=str(error)) from error


def _frames_of_one_size(file: Pillow.Image) -> list[Pillow.Image]:
    frames: list[Pillow.Image] = []
    for frame in ImageSequence.Iterator(file):
        if len(frames) == FRAMES_MAX:
            raise Refused("the picture has too many frames", maximum=FRAMES_MAX)
        upright = ImageOps.exif_transpose(frame.copy()) or frame.copy()
        # A multi-picture file may hold a thumbnail, which cannot stand in one batch.
        if not frames or upright.size == frames[0].size:
            frames.append(upright)
    return frames


def _rgb(frame: Pillow.Image) -> NDArray[np.float32]:
    return np.array(_eight_bits(frame).convert("RGB")).astype(np.float32) / np.float32(255.0)


def _eight_bits(frame: Pillow.Image) -> Pillow.Image:
    return frame.point(lambda value: value * (1 / 255)) if frame.mode.startswith("I") else frame


def _mask(frame: Pillow.Image) -> NDArray[np.float32]:
    if frame.mode == "P" and "transparency" in frame.info:
        frame = frame.convert("RGBA")
    if "A" not in frame.getbands():
        return np.zeros((EMPTY_MASK_SIDE, EMPTY_MASK_SIDE), np.float32)
    return np.float32(1.0) - np.array(frame.getchannel("A")).astype(np.float32) / np.float32(255.0)
