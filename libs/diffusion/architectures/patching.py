"""Latents in whole patches, for networks that cut them into squares."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

PATCH = 2


def in_whole_patches(latents: Tensor, patch: int = PATCH) -> Tensor:
    """Return latents that go on at the other side until they are made of whole patches."""
    rows, columns = latents.shape[-2:]
    missing = (-columns % patch, -rows % patch)
    if missing == (0, 0):
        return latents
    return functional.pad(latents, (0, missing[0], 0, missing[1]), mode="circular")


def packed(latents: Tensor, patch: int = PATCH) -> Tensor:
    """Return [count, patches, channels * patch * patch]: one row of numbers for each patch."""
    count, channels, rows, columns = latents.shape
    cut = latents.reshape(count, channels, rows // patch, patch, columns // patch, patch)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(count, -1, channels * patch * patch)


def unpacked(patches: Tensor, rows: int, columns: int, patch: int = PATCH) -> Tensor:
    """Return what `packed` was given, of `rows` and `columns` of cells."""
    count = patches.shape[0]
    shape = (count, rows // patch, columns // patch, -1, patch, patch)
    return patches.reshape(shape).permute(0, 3, 1, 4, 2, 5).reshape(count, -1, rows, columns)
