"""What a tier may spend and make in a day (HIP-35, Rate Limiting; X23)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class TierTerms:
    """`images_per_day` None is without limit; `prepaid` accounts never go below zero."""

    images_per_day: int | None
    prepaid: bool


TERMS: Final[Mapping[str, TierTerms]] = {
    "free": TierTerms(images_per_day=50, prepaid=True),
    "pro": TierTerms(images_per_day=1000, prepaid=True),
    "enterprise": TierTerms(images_per_day=None, prepaid=False),
}


def terms_of(tier: str) -> TierTerms:
    """Return the terms of `tier`; an unknown tier gets the strictest."""
    return TERMS.get(tier, TERMS["free"])
