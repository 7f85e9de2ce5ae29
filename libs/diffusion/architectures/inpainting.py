"""What a network that repaints is told beside the latent: the mask, and what lies around it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from libs.diffusion.architectures.base import LatentFormat
from libs.diffusion.scaling import scale
from libs.sampling.conditioning import Entry, Hole

# Grey pixels in the latents of Stable Diffusion 1, per channel.
GREY = (0.8223, -0.6876, 0.6364, 0.1380)


def mask_and_surroundings(
    entry: Entry, latent: Tensor, mask: Tensor | None, form: LatentFormat
) -> Tensor:
    """Return [count, 1 + channels, rows, columns]: what to paint, and the picture around it.

    What the entry was told comes first, then the latent and mask that the course starts with.
    Without a mask everything is painted anew, over grey.
    """
    inside = hole_of(entry)
    around = latent if inside is None else fitted(form.inward(inside.around.to(latent)), latent)
    told = told_mask(entry, mask)
    if told is None:
        grey = latent.new_tensor(GREY)[:, None, None].expand_as(latent)
        return torch.cat([torch.ones_like(latent[:, :1]), grey], 1)
    cells = fitted(told.to(latent), latent).round()
    return torch.cat([cells, around], 1)


def hole_of(entry: Entry) -> Hole | None:
    """Return what an entry was told about the picture to repaint."""
    found: Hole | None = entry.extras.get("inpaint")
    return found


def told_mask(entry: Entry, mask: Tensor | None) -> Tensor | None:
    """Return [count, 1, height, width], what is to be painted: as told, or as the course has it."""
    inside = hole_of(entry)
    if inside is not None and inside.mask is not None:
        told: Tensor = inside.mask
        return told.reshape(-1, 1, *told.shape[-2:])
    return None if mask is None else mask[:, :1]


def fitted(batch: Tensor, latent: Tensor, factor: int = 1) -> Tensor:
    """Return the batch as large as the latent, its cells `factor` times as fine."""
    size = (latent.shape[-2] * factor, latent.shape[-1] * factor)
    if batch.shape[-2:] != size:
        batch = scale(batch, "bilinear", size, "center")
    times = -(-latent.shape[0] // batch.shape[0])
    return batch.repeat(times, 1, 1, 1)[: latent.shape[0]]


def pixels_in_cells(mask: Tensor, side: int) -> Tensor:
    """Return [count, side * side, rows, columns]: the pixels of each cell as its channels."""
    return functional.pixel_unshuffle(mask, side)
