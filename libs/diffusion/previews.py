"""A glance at a latent while it is being denoised, far cheaper than decoding it."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor, nn
from torch.nn import functional

from libs.diffusion.architectures.base import LatentFormat
from libs.diffusion.values import PIXELS_PER_CELL

SIDE_PIXELS_MAX = 512
JPEG_QUALITY = 95
SAMPLES = 8
CELLS = 8
COLOURS = 3


def draw(projection: Tensor, seen: Tensor) -> bytes:
    """Return the first latent of a batch as a JPEG, through `projection` to RGB.

    Of a video it is the frame in the middle.
    """
    cells = _glance(seen).float().cpu()
    return _jpeg(torch.einsum("chw,cr->rhw", _with_one(cells[None])[0], projection))


@torch.inference_mode()
def draw_decoded(decoder: nn.Module, seen: Tensor) -> bytes:
    """Return the first latent of a batch as a JPEG, through a tiny decoder."""
    weight = next(decoder.parameters())
    cells = _glance(seen).to(weight)
    return _jpeg((decoder(cells[None])[0].float().cpu() + 1) / 2, larger_max=1.0)


def draw_principal(seen: Tensor) -> bytes:
    """Return the first latent as a JPEG in false colours: its three strongest patterns.

    For models that come without a VAE, which alone knows the colours.
    """
    cells = _glance(seen).float().cpu()
    flat = cells.flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    patterns, *_ = torch.linalg.svd(flat, full_matrices=False)
    shown = (patterns[:, :COLOURS].T @ flat).reshape(-1, *cells.shape[1:])
    strongest = shown.abs().amax((1, 2), keepdim=True).clamp(min=1e-9)
    return _jpeg(shown / strongest / 2 + 0.5)


def _glance(seen: Tensor) -> Tensor:
    """Return the first latent of a batch, of a video the frame in the middle."""
    cells = seen[0]
    return cells[:, cells.shape[1] // 2] if cells.ndim == 4 else cells


def _jpeg(rgb: Tensor, larger_max: float = PIXELS_PER_CELL) -> bytes:
    factor = min(larger_max, SIDE_PIXELS_MAX / max(rgb.shape[-2:]))
    smaller = factor < 1
    scaled = functional.interpolate(
        rgb[None], scale_factor=factor, mode="bilinear", antialias=smaller
    )[0]
    pixels = (scaled.clamp(0, 1) * 255).movedim(0, -1).numpy().astype(np.uint8)
    file = BytesIO()
    Pillow.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


@torch.inference_mode()
def fit_projection(decoded: Callable[[Tensor], Tensor], form: LatentFormat) -> Tensor:
    """Fit [channels + 1, 3], the linear map that comes nearest to what a VAE's `decoded` gives.

    Random smooth latents are decoded once and averaged over each cell; least squares does the
    rest. The generator is its own, so that no picture depends on whether previews are drawn.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(SAMPLES, form.channels, CELLS // 2, CELLS // 2, generator=generator)
    latents = functional.interpolate(noise, size=(CELLS, CELLS), mode="bilinear")
    wire = form.outward(latents)
    alone = [one[:, :, None] if form.frames else one for one in torch.split(wire, 1)]
    pictures = torch.cat([decoded(one) for one in alone])
    colours = functional.avg_pool2d((pictures + 1) / 2, form.pixels_per_cell)
    given = _with_one(latents).movedim(1, -1).flatten(0, 2)
    wanted = colours.movedim(1, -1).flatten(0, 2)
    solution: Tensor = torch.linalg.lstsq(given, wanted).solution
    return solution


def _with_one(latents: Tensor) -> Tensor:
    """Add a channel of ones, which the map's offset is multiplied with."""
    return torch.cat([latents, torch.ones_like(latents[:, :1])], 1)
