"""What each tier may ask for, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from libs.core.errors import Refused

ModelFamilies: TypeAlias = Mapping[str, tuple[str, ...]]

# Patterns are matched against the lower-case file name, without its folder.
DEFAULT_FAMILIES: Final[ModelFamilies] = {
    "flux-schnell": ("*flux*schnell*",),
    "sdxl": ("*sdxl*", "*sd_xl*"),
    "demo": ("*demo*",),
}


@dataclass(frozen=True, kw_only=True)
class Tier:
    """The limits of one tier; None means that there is none."""

    name: str
    generations_per_day: int | None
    resolution_side_pixels_max: int
    steps_max: int
    batch_max: int
    models: tuple[str, ...] | None
    priority_queue: bool = False
    dedicated_gpu: bool = False


FREE: Final = Tier(
    name="free",
    generations_per_day=50,
    resolution_side_pixels_max=1024,
    steps_max=30,
    batch_max=1,
    models=("flux-schnell", "sdxl", "demo"),
)
PRO: Final = Tier(
    name="pro",
    generations_per_day=1000,
    resolution_side_pixels_max=2048,
    steps_max=50,
    batch_max=4,
    models=None,
    priority_queue=True,
)
ENTERPRISE: Final = Tier(
    name="enterprise",
    generations_per_day=None,
    resolution_side_pixels_max=4096,
    steps_max=100,
    batch_max=8,
    models=None,
    priority_queue=True,
    dedicated_gpu=True,
)

# Whoever runs a house on a machine of their own is limited by the machine alone.
OWNER: Final = Tier(
    name="owner",
    generations_per_day=None,
    resolution_side_pixels_max=16_384,
    steps_max=10_000,
    batch_max=4_096,
    models=None,
    priority_queue=True,
)

# Other parts of the ecosystem know four tiers; the two extra names stand for pro.
TIERS: Final[Mapping[str, Tier]] = {
    "free": FREE,
    "pro": PRO,
    "team": PRO,
    "developer": PRO,
    "enterprise": ENTERPRISE,
    "owner": OWNER,
}


def tier_named(name: str) -> Tier:
    """Return the tier of that name, whatever its case; raise Refused if there is none."""
    tier = TIERS.get(name.lower())
    if tier is None:
        raise Refused("there is no such tier", kind="unknown_tier", received=name)
    return tier
