"""Changing the pixels of pictures [count, height, width, channels]: softness, colours, palettes."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor
from torch.nn import functional

from libs.core.errors import Refused

SHARPEN_GAIN: Final = 10
# How bright the eye finds red, green and blue (Rec. 709).
LUMA: Final = (0.2126, 0.7152, 0.0722)


def blurred(pictures: Tensor, radius: int, sigma: float) -> Tensor:
    """Return pictures softened by a Gaussian whose `sigma` counts in radii."""
    return _convolved(pictures, _bell(radius, sigma), radius)


def sharpened(pictures: Tensor, radius: int, sigma: float, strength: float) -> Tensor:
    """Return pictures from which their own blur was taken, `strength` times ten."""
    amount = strength * SHARPEN_GAIN
    soft = _convolved(pictures, _bell(radius, sigma), radius)
    return (pictures * (1.0 + amount) - soft * amount).clamp(0, 1)


def _bell(radius: int, sigma: float) -> Tensor:
    places = torch.linspace(-1, 1, radius * 2 + 1)
    bell = torch.exp(-(places**2) / (2.0 * sigma * sigma))
    return bell / bell.sum()


def _convolved(pictures: Tensor, bell: Tensor, radius: int) -> Tensor:
    """Convolve with the bell one way and then the other, the pictures mirrored at their edges."""
    if radius >= min(pictures.shape[1:3]):
        raise Refused("the radius is larger than the picture", field="radius", received=radius)
    channels = pictures.shape[-1]
    batch = functional.pad(pictures.movedim(-1, 1), (radius,) * 4, mode="reflect")
    kernel = bell.expand(channels, 1, 1, -1)
    batch = functional.conv2d(batch, kernel, groups=channels)
    batch = functional.conv2d(batch, kernel.transpose(2, 3), groups=channels)
    return batch.movedim(1, -1)


def quantized(pictures: Tensor, colours: int, dither: str) -> Tensor:
    """Return each picture in its own palette of at most `colours`."""
    return torch.stack([_quantized(picture[..., :3], colours, dither) for picture in pictures])


def _quantized(picture: Tensor, colours: int, dither: str) -> Tensor:
    pixels = (picture * 255).to(torch.uint8).numpy()
    drawn = Pillow.fromarray(pixels)
    palette = drawn.quantize(colors=colours)
    method = Pillow.Dither.NONE
    if dither == "floyd-steinberg":
        method = Pillow.Dither.FLOYDSTEINBERG
    elif dither.startswith("bayer"):
        side = int(dither.rpartition("-")[2])
        drawn = Pillow.fromarray(_dithered(pixels, side, len(palette.getpalette() or ()) // 3))
    reduced = drawn.quantize(colors=colours, palette=palette, dither=method).convert("RGB")
    return torch.from_numpy(np.array(reduced)).float() / 255.0


def _dithered(pixels: NDArray[np.uint8], side: int, colours: int) -> NDArray[np.uint8]:
    """Add an ordered pattern as wide as the palette's colours lie apart."""
    spread = 2 * 256 / max(1, colours)
    pattern = spread * _bayer(int(math.log2(side))) + 0.5
    height, width = pixels.shape[:2]
    tiled = np.tile(pattern, (math.ceil(height / side), math.ceil(width / side)))
    lifted = pixels.astype(np.float32) + tiled[:height, :width, None].astype(np.float32)
    return np.clip(lifted, 0, 255).astype(np.uint8)


def _bayer(order: int) -> NDArray[np.float64]:
    """Return Bayer's matrix with 2^order places each way, its mean near zero."""
    if order == 0:
        return np.zeros((1, 1))
    scale = 4**order
    inner = scale * _bayer(order - 1)
    rows = [[inner - 1.5, inner + 0.5], [inner + 1.5, inner - 0.5]]
    return np.asarray(np.block(rows) / scale, np.float64)


def colour_mask(pictures: Tensor, colour: int) -> Tensor:
    """Return 1 where a pixel, rounded to bytes, has the colour 0xRRGGBB."""
    rounded = (pictures[..., :3].clamp(0, 1) * 255.0).round().to(torch.int64)
    packed = (rounded[..., 0] << 16) + (rounded[..., 1] << 8) + rounded[..., 2]
    return (packed == colour).float()


def adjusted(
    pictures: Tensor,
    *,
    brightness: float,
    contrast: float,
    saturation: float,
    hue_degrees: float,
    gamma: float,
) -> Tensor:
    """Return pictures with other colours; alpha stays.

    In this order: gamma, brightness as a factor, contrast about mid grey, saturation about the
    pixel's own grey, and the hue turned about the grey axis.
    """
    colour = pictures[..., :3]
    if gamma != 1.0:
        colour = colour.clamp(min=0) ** (1.0 / gamma)
    colour = (colour * brightness - 0.5) * contrast + 0.5
    grey = (colour * torch.tensor(LUMA)).sum(-1, keepdim=True)
    colour = grey + (colour - grey) * saturation
    if hue_degrees:
        colour = colour @ _turned(hue_degrees).T
    return torch.cat((colour.clamp(0, 1), pictures[..., 3:]), dim=-1)


def _turned(degrees: float) -> Tensor:
    """Return the rotation about the axis from black to white."""
    angle = math.radians(degrees)
    kept, mixed, swapped = math.cos(angle), (1 - math.cos(angle)) / 3, math.sin(angle) / 3**0.5
    return torch.tensor(
        [
            [kept + mixed, mixed - swapped, mixed + swapped],
            [mixed + swapped, kept + mixed, mixed - swapped],
            [mixed - swapped, mixed + swapped, kept + mixed],
        ]
    )
