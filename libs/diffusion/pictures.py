"""Pictures out of files and numbers."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps, ImageSequence, UnidentifiedImageError

from libs.core.errors import Refused
from libs.diffusion.values import Mask, Picture

EMPTY_MASK_SIDE = 64
FRAMES_MAX = 4096
PIXELS_MAX = 16384 * 16384


def decode_picture(data: bytes) -> tuple[Picture, Mask]:
    """Return the frames of an image file, upright, and the mask: 1 where it is transparent."""
    try:
        with Pillow.open(BytesIO(data)) as file:
            if file.width * file.height > PIXELS_MAX:
                raise Refused("the picture has too many pixels", maximum=PIXELS_MAX)
            frames = _frames_of_one_size(file)
    except (UnidentifiedImageError, Pillow.DecompressionBombError, OSError, SyntaxError) as error:
        raise Refused("the file is not a picture that can be read", reason=str(error)) from error
    return (
        Picture(torch.stack([torch.from_numpy(_rgb(frame)) for frame in frames])),
        Mask(torch.stack([torch.from_numpy(_mask(frame)) for frame in frames])),
    )


def blank_picture(*, width: int, height: int, count: int, color: int) -> Picture:
    """Return pictures of one colour, given as 0xRRGGBB."""
    channels = [(color >> shift) & 0xFF for shift in (16, 8, 0)]
    pixels = torch.tensor(channels, dtype=torch.float32) / 255.0
    return Picture(pixels.expand(count, height, width, 3).clone())


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
    if frame.mode.startswith("I"):
        frame = frame.point(lambda value: value * (1 / 255))
    return np.array(frame.convert("RGB")).astype(np.float32) / np.float32(255.0)


def _mask(frame: Pillow.Image) -> NDArray[np.float32]:
    if frame.mode == "P" and "transparency" in frame.info:
        frame = frame.convert("RGBA")
    if "A" not in frame.getbands():
        return np.zeros((EMPTY_MASK_SIDE, EMPTY_MASK_SIDE), np.float32)
    return np.float32(1.0) - np.array(frame.getchannel("A")).astype(np.float32) / np.float32(255.0)
