"""Texts that count in a part of the picture: their twins, their slices, their soft edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from libs.diffusion.conditioning import Area, Entry

FEATHER_CELLS = 8
FEATHER_PART = 4


def with_twins(entries: Sequence[Entry], others: Sequence[Entry]) -> list[Entry]:
    """Return `entries` with a twin for each area that only the other side has.

    Guidance compares both sides place by place, so an area on one side needs an entry of the
    same area on the other: the smallest that encloses it.
    """
    completed = list(entries)
    for other in others:
        area = other.area
        if area is None or any(entry.area == area for entry in completed):
            continue
        enclosing = [e for e in entries if e.area is None or e.area.encloses(area)]
        if enclosing:
            smallest = min(enclosing, key=lambda e: e.area.size if e.area else float("inf"))
            completed.append(replace(smallest, area=area, strength=other.strength))
    return completed


def clipped(area: Area | None, like: Tensor) -> Area:
    """Return the area cut to the latent, the whole latent if there is none."""
    rows, columns = like.shape[-2:]
    if area is None:
        return Area(rows, columns, 0, 0)
    return replace(
        area, height=min(area.height, rows - area.y), width=min(area.width, columns - area.x)
    )


def weights(area: Area, like: Tensor, strength: float) -> Tensor:
    """Return how much each cell of the area counts: less towards edges inside the latent."""
    rows, columns = like.shape[-2:]
    weight = like.new_full((*like.shape[:2], area.height, area.width), strength)
    _soften(weight, 2, starts_inside=area.y > 0, ends_inside=area.y + area.height < rows)
    _soften(weight, 3, starts_inside=area.x > 0, ends_inside=area.x + area.width < columns)
    return weight


def _soften(weight: Tensor, side: int, *, starts_inside: bool, ends_inside: bool) -> None:
    length = weight.shape[side]
    ramp = min(FEATHER_CELLS, length // FEATHER_PART)
    for cell in range(ramp):
        share = 1.0 / ramp * (cell + 1)
        if starts_inside:
            weight.narrow(side, cell, 1).mul_(share)
        if ends_inside:
            weight.narrow(side, length - 1 - cell, 1).mul_(share)
