"""Pictures, masks and latents as numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError
from safetensors.numpy import save

from libs.core.errors import Refused

PIXELS_PER_CELL = 8
EMPTY_MASK_SIDE = 64
PIXELS_MAX = 16384 * 16384

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Picture:
    """IMAGE: RGB float32 [count, height, width, 3], 0 to 1."""

    pixels: Floats

    @property
    def count(self) -> int:
        """How many pictures."""
        return int(self.pixels.shape[0])

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[1])

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[2])

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return int(self.pixels.nbytes)

    def frames(self) -> list[NDArray[np.uint8]]:
        """Return each picture as bytes, cut off and not rounded."""
        return [np.clip(255.0 * frame, 0, 255).astype(np.uint8) for frame in self.pixels]

    def inverted(self) -> Picture:
        """Return the negatives."""
        return Picture(np.float32(1.0) - self.pixels)


@dataclass(frozen=True, eq=False)
class Mask:
    """MASK: one channel float32 [count, height, width], 0 to 1."""

    values: Floats

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.values.shape[-2])

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.values.shape[-1])

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return int(self.values.nbytes)

    def in_cells(self, like: Floats) -> Floats:
        """Return it in the shape of a latent, bilinearly."""
        rows, columns = like.shape[-2:]
        cells = _bilinear(_bilinear(self.values, columns, -1), rows, -2)[:, None]
        times = -(-like.shape[0] // cells.shape[0])
        spread = np.tile(cells, (times, 1, 1, 1))[: like.shape[0]]
        return np.broadcast_to(spread, like.shape).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Latents:
    """LATENT: float32 [count, channels, height / 8, width / 8], unscaled."""

    samples: Floats
    mask: Mask | None = None
    batch_index: tuple[int, ...] | None = None

    @property
    def count(self) -> int:
        """How many pictures."""
        return int(self.samples.shape[0])

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return int(self.samples.nbytes) + (self.mask.size_bytes if self.mask else 0)

    def masked(self, mask: Mask) -> Latents:
        """Return them with the part to repaint marked."""
        return replace(self, mask=mask)

    def to_bytes(self, metadata: Mapping[str, str]) -> bytes:
        """Return them as a safetensors file that ComfyUI's loader takes."""
        tensors = {
            "latent_tensor": np.ascontiguousarray(self.samples),
            "latent_format_version_0": np.zeros(0, np.float32),
        }
        return save(tensors, dict(metadata))


def decode_picture(data: bytes) -> tuple[Picture, Mask]:
    """Return the picture in an image file, upright, and the mask: 1 where it is transparent."""
    try:
        with Pillow.open(BytesIO(data)) as file:
            if file.width * file.height > PIXELS_MAX:
                raise Refused("the picture has too many pixels", maximum=PIXELS_MAX)
            upright = ImageOps.exif_transpose(file) or file
            rgb = np.asarray(upright.convert("RGB")).astype(np.float32) / np.float32(255.0)
            mask = np.zeros((EMPTY_MASK_SIDE, EMPTY_MASK_SIDE), np.float32)
            if "A" in upright.getbands() or "transparency" in upright.info:
                alpha = np.asarray(upright.convert("RGBA").getchannel("A"))
                mask = np.float32(1.0) - alpha.astype(np.float32) / np.float32(255.0)
    except (UnidentifiedImageError, Pillow.DecompressionBombError, OSError, SyntaxError) as error:
        raise Refused("the file is not a picture that can be read", reason=str(error)) from error
    return Picture(rgb[None]), Mask(mask[None])


def blank_picture(*, width: int, height: int, count: int, color: int) -> Picture:
    """Return pictures of one colour, given as 0xRRGGBB."""
    channels = np.array([(color >> shift) & 0xFF for shift in (16, 8, 0)], np.float32)
    return Picture(np.tile(channels / np.float32(255.0), (count, height, width, 1)))


def _bilinear(values: Floats, length: int, axis: int) -> Floats:
    """Resample one side as torch's bilinear interpolation does, without antialiasing."""
    old = values.shape[axis]
    position = np.clip((np.arange(length) + 0.5) * old / length - 0.5, 0, None)
    low = np.minimum(position.astype(int), old - 1)
    high = np.minimum(low + 1, old - 1)
    shape = [1] * values.ndim
    shape[axis] = length
    share = (position - low).astype(np.float32).reshape(shape)
    left, right = np.take(values, low, axis), np.take(values, high, axis)
    blended: Floats = left * (np.float32(1.0) - share) + right * share
    return blended
