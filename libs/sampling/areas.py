"""Entries that count in a part of the picture: their twins, their slices, their soft edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from array_api_compat import array_namespace

from libs.sampling.conditioning import Area, Entry, Painted, Share
from libs.sampling.levels import Array

FEATHER_CELLS = 8
FEATHER_PART = 4


def placed(entry: Entry, like: Array) -> Entry:
    """Return the entry with its share of the sides, or its mask's bounds, as an area in cells."""
    rows, columns = like.shape[-2:]
    if isinstance(entry.area, Share):
        share = entry.area
        area = Area(
            max(1, round(share.height * rows)),
            max(1, round(share.width * columns)),
            round(share.y * rows),
            round(share.x * columns),
        )
        entry = replace(entry, area=area)
    if entry.mask is not None and entry.mask.bounded and entry.area is None:
        entry = replace(entry, area=_bounds(entry.mask.values))
    return entry


def with_twins(entries: Sequence[Entry], others: Sequence[Entry]) -> list[Entry]:
    """Return `entries` with a twin for each area that only the other side has.

    Guidance compares both sides place by place, so an area on one side needs an entry of the
    same area on the other: the smallest that encloses it.
    """
    completed = list(entries)
    for other in others:
        area = other.area
        if not isinstance(area, Area) or any(entry.area == area for entry in completed):
            continue
        enclosing = [entry for entry in entries if _encloses(entry, area)]
        if enclosing:
            smallest = min(enclosing, key=_size)
            completed.append(replace(smallest, area=area, strength=other.strength))
    return completed


def with_control_of(entries: Sequence[Entry], others: Sequence[Entry]) -> list[Entry]:
    """Return `entries` led as those of the other side that want both sides to be.

    Entries of an area lead for themselves alone. Nothing changes if any entry is led already.
    """
    shared = [one.control for one in others if one.control_both and one.area is None]
    whole = [at for at, entry in enumerate(entries) if entry.area is None]
    led = list(entries)
    if not whole or any(entries[at].control for at in whole):
        return led
    for number, control in enumerate(control for control in shared if control):
        at = whole[number % len(whole)]
        led[at] = replace(entries[at], control=control)
    return led


def _encloses(entry: Entry, area: Area) -> bool:
    return entry.area is None or (isinstance(entry.area, Area) and entry.area.encloses(area))


def _size(entry: Entry) -> float:
    return entry.area.size if isinstance(entry.area, Area) else float("inf")


def clipped(area: Area | Share | None, like: Array) -> Area:
    """Return the area cut to the latent, the whole latent if there is none."""
    rows, columns = like.shape[-2:]
    if not isinstance(area, Area):
        return Area(rows, columns, 0, 0)
    return replace(
        area, height=min(area.height, rows - area.y), width=min(area.width, columns - area.x)
    )


def weights(area: Area, like: Array, strength: float, mask: Painted | None = None) -> Array:
    """Return how much each cell of the area counts: by the mask, or less towards its edges."""
    xp = array_namespace(like)
    rows, columns = like.shape[-2:]
    weight = xp.zeros_like(like[..., : area.height, : area.width]) + strength
    if mask is not None:
        return weight * _mask_in(mask, area, like) * mask.strength
    _soften(weight, -2, starts_inside=area.y > 0, ends_inside=area.y + area.height < rows)
    _soften(weight, -1, starts_inside=area.x > 0, ends_inside=area.x + area.width < columns)
    return weight


def _mask_in(mask: Painted, area: Area, like: Array) -> Array:
    xp = array_namespace(like)
    rectangle = mask.values[:, area.y : area.y + area.height, area.x : area.x + area.width]
    while rectangle.ndim < like.ndim:
        rectangle = rectangle[:, None]
    count = like.shape[0]
    times = -(-count // rectangle.shape[0])
    return xp.concat([rectangle] * times, axis=0)[:count]


def _soften(weight: Array, side: int, *, starts_inside: bool, ends_inside: bool) -> None:
    length = weight.shape[side]
    ramp = min(FEATHER_CELLS, length // FEATHER_PART)
    for cell in range(ramp):
        share = 1.0 / ramp * (cell + 1)
        for inside, at in ((starts_inside, cell), (ends_inside, length - 1 - cell)):
            if inside:
                place = (..., at, slice(None)) if side == -2 else (..., at)  # noqa: PLR2004
                weight[place] *= share


def _bounds(values: Array) -> Area:
    """Return the smallest rectangle around what a mask marks, a whole one if it marks nothing."""
    xp = array_namespace(values)
    rows = [at for at in range(values.shape[-2]) if bool(xp.any(values[:, at, :] > 0))]
    columns = [at for at in range(values.shape[-1]) if bool(xp.any(values[:, :, at] > 0))]
    if not rows or not columns:
        return Area(values.shape[-2], values.shape[-1], 0, 0)
    return Area(rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1, rows[0], columns[0])
