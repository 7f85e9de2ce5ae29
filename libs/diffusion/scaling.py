"""Changing the size of a batch [count, channels, height, width]."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor
from torch.nn import functional

TORCH_MODES = ("nearest-exact", "bilinear", "area", "bicubic")


def target_size(size: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """Return (height, width), a side of 0 filled in from the proportions of `size`."""
    old_height, old_width = size
    if width == 0 and height == 0:
        return size
    if width == 0:
        width = max(1, round(old_width * height / old_height))
    elif height == 0:
        height = max(1, round(old_height * width / old_width))
    return height, width


def scale(batch: Tensor, method: str, size: tuple[int, int], crop: str) -> Tensor:
    """Return the batch at `size`; `crop` "center" cuts the longer side instead of squeezing."""
    if crop == "center":
        batch = centred(batch, size)
    if method in TORCH_MODES:
        return functional.interpolate(batch, size=size, mode=method)
    return _SLOW[method](batch, size)


def centred(batch: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut the batch to the proportions of `size`, from the middle."""
    height, width = batch.shape[-2:]
    wanted = size[1] / size[0]
    x = y = 0
    if width / height > wanted:
        x = round((width - height * wanted) / 2)
    elif width / height < wanted:
        y = round((height - width / wanted) / 2)
    return batch[..., y : height - y, x : width - x]


def lanczos(batch: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale pictures as bytes with Pillow's Lanczos filter."""
    out = []
    for picture in batch.movedim(1, -1).cpu().numpy():
        pixels = np.clip(255.0 * picture, 0, 255).astype(np.uint8)
        scaled = Pillow.fromarray(pixels).resize((size[1], size[0]), Pillow.Resampling.LANCZOS)
        out.append(torch.from_numpy(np.asarray(scaled).astype(np.float32) / 255.0))
    return torch.stack(out).movedim(-1, 1).to(batch.device, batch.dtype)


def bislerp(batch: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale latents linearly in length and spherically in direction, one side after the other."""
    wide = _slerp_last(batch.float(), size[1])
    return _slerp_last(wide.transpose(2, 3), size[0]).transpose(2, 3).to(batch.dtype)


def _slerp_last(batch: Tensor, length: int) -> Tensor:
    """Resample the last side: between neighbouring vectors across the channels."""
    old = batch.shape[-1]
    position = ((torch.arange(length) + 0.5) * old / length - 0.5).clamp(0, old - 1)
    left = position.floor().long()
    right = (left + 1).clamp(max=old - 1)
    share = (position - left).to(batch)
    return _slerp(batch[..., left], batch[..., right], share)


def _slerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    start_length = start.norm(dim=1, keepdim=True)
    end_length = end.norm(dim=1, keepdim=True)
    start_unit = torch.nan_to_num(start / start_length)
    end_unit = torch.nan_to_num(end / end_length)
    cosine = (start_unit * end_unit).sum(1, keepdim=True).clamp(-1, 1)
    angle = cosine.acos()
    sine = angle.sin()
    turned = ((1 - share) * angle).sin() / sine * start_unit + (
        share * angle
    ).sin() / sine * end_unit
    turned = turned * (start_length * (1 - share) + end_length * share)
    straight = start * (1 - share) + end * share
    # Vectors that point the same way, or exactly apart, span no arc to walk along.
    return torch.where(cosine.abs() > 1 - 1e-5, straight, turned)


_SLOW = {"lanczos": lanczos, "bislerp": bislerp}
