"""The sizes of a picture: what SDXL is told of them, and the part that whole cells cover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.core.errors import Refused
from libs.sampling.conditioning import PIXELS_PER_CELL, Entry
from libs.sampling.levels import Array

# SDXL hears six numbers of a picture; its refiner hears a score in place of the target.
REFINER_IDS: Final = 5
AESTHETIC_POSITIVE: Final = 6.0
AESTHETIC_NEGATIVE: Final = 2.5


def summed_up(entry: Entry, family: str) -> Array:
    """Return an entry's summary [1, width]; raise Refused if its encoder makes none."""
    if entry.pooled is None:
        raise Refused("this model wants a text encoded by an SDXL text encoder", family=family)
    return entry.pooled


def time_ids(entry: Entry, latent: Array, count: int, *, positive: bool) -> list[float]:
    """Return what goes beside the summary: size, crop, and target or score (Podell et al. 2023).

    They are those of the picture that the latent stands for, unless the entry says others.
    """
    height, width = (side * PIXELS_PER_CELL for side in latent.shape[-2:])
    given: Mapping[str, float] = entry.extras.get("sizes", {})
    size = (given.get("height", height), given.get("width", width))
    crop = (given.get("crop_h", 0), given.get("crop_w", 0))
    if count == REFINER_IDS:
        score = AESTHETIC_POSITIVE if positive else AESTHETIC_NEGATIVE
        return [*size, *crop, given.get("aesthetic_score", score)]
    target = (given.get("target_height", height), given.get("target_width", width))
    return [*size, *crop, *target]


def whole_cells(batch: Array) -> Array:
    """Cut [count, channels, height, width] to multiples of eight, from the middle."""
    height, width = (side // PIXELS_PER_CELL * PIXELS_PER_CELL for side in batch.shape[-2:])
    top = batch.shape[-2] % PIXELS_PER_CELL // 2
    left = batch.shape[-1] % PIXELS_PER_CELL // 2
    return batch[..., top : top + height, left : left + width]
