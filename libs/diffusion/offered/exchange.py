"""The values of this house as node packs know them, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.picture import Mask, Picture
from libs.diffusion.values import Latents
from libs.sampling.conditioning import Area, Conditioning, Entry, Painted, Share

# Keeps what only this house knows of a text while a pack has it.
ENTRY: Final = "hanzo_entry"
POOLED: Final = "pooled_output"
IMAGE: Final = "IMAGE"
MASK: Final = "MASK"
LATENT: Final = "LATENT"
CONDITIONING: Final = "CONDITIONING"


class TorchExchange:
    """Pictures, masks, latents and texts change their form; everything else stays as it is."""

    def theirs(self, value: Any) -> Any:
        """Return a value of the house as packs know it."""
        match value:
            case Picture():
                return value.pixels
            case Mask():
                return value.values
            case Latents():
                return _latent_of(value)
            case Conditioning():
                return [[entry.context, _told(entry)] for entry in value.entries]
        return value

    def ours(self, value: Any, socket_type: str) -> Any:
        """Return a pack's value as the house knows it on a wire of that type."""
        if socket_type == IMAGE and isinstance(value, Tensor):
            return Picture(_floats(value if value.ndim != 3 else value[None], 4, IMAGE))
        if socket_type == MASK and isinstance(value, Tensor):
            flat = value.reshape(-1, *value.shape[-2:]) if value.ndim != 3 else value
            return Mask(_floats(flat, 3, MASK))
        if isinstance(value, Mapping) and isinstance(value.get("samples"), Tensor):
            return _latents(value)
        if socket_type == CONDITIONING and isinstance(value, list | tuple):
            return Conditioning(tuple(_entry(one) for one in value))
        return value


def _floats(value: Tensor, sides: int, name: str) -> Tensor:
    if value.ndim != sides:
        raise Refused(f"that is no {name}", sides=value.ndim, wanted=sides)
    return value.detach().to("cpu", torch.float32)


def _latent_of(value: Latents) -> dict[str, Any]:
    latent: dict[str, Any] = {"samples": value.samples}
    if value.mask is not None:
        latent["noise_mask"] = value.mask.values.reshape(-1, 1, value.mask.height, value.mask.width)
    if value.batch_index is not None:
        latent["batch_index"] = list(value.batch_index)
    return latent


def _latents(value: Mapping[str, Any]) -> Latents:
    samples = value["samples"].detach().to("cpu", torch.float32)
    mask, index = value.get("noise_mask"), value.get("batch_index")
    return Latents(
        samples,
        Mask(_floats(mask.reshape(-1, *mask.shape[-2:]), 3, MASK)) if mask is not None else None,
        tuple(int(one) for one in index) if index is not None else None,
    )


def _told(entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = {POOLED: entry.pooled, ENTRY: entry}
    match entry.area:
        case Area() as area:
            told["area"] = (area.height, area.width, area.y, area.x)
        case Share() as share:
            told["area"] = ("percentage", share.height, share.width, share.y, share.x)
    if entry.strength != 1.0:
        told["strength"] = entry.strength
    if (entry.start, entry.end) != (0.0, 1.0):
        told |= {"start_percent": entry.start, "end_percent": entry.end}
    if entry.mask is not None:
        told |= {"mask": entry.mask.values, "mask_strength": entry.mask.strength}
        told["set_area_to_bounds"] = entry.mask.bounded
    return told


def _entry(given: Sequence[Any]) -> Entry:
    if not isinstance(given, list | tuple) or len(given) < 2 or not isinstance(given[0], Tensor):
        raise Refused("that is no CONDITIONING: it is a list of [tensor, dictionary]")
    context, told = given[0], given[1]
    known = told.get(ENTRY)
    entry = known if isinstance(known, Entry) else Entry(context)
    return replace(
        entry,
        context=context.detach().to("cpu", torch.float32),
        pooled=told.get(POOLED),
        area=_area(told.get("area")),
        mask=_painted(told),
        strength=float(told.get("strength", 1.0)),
        start=float(told.get("start_percent", 0.0)),
        end=float(told.get("end_percent", 1.0)),
    )


def _area(told: Any) -> Area | Share | None:
    if told is None:
        return None
    if told[0] == "percentage":
        return Share(*(float(side) for side in told[1:5]))
    return Area(*(int(side) for side in told[:4]))


def _painted(told: Mapping[str, Any]) -> Painted | None:
    mask = told.get("mask")
    if mask is None:
        return None
    return Painted(
        _floats(mask.reshape(-1, *mask.shape[-2:]), 3, MASK),
        float(told.get("mask_strength", 1.0)),
        bool(told.get("set_area_to_bounds", False)),
    )
