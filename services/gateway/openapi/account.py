"""What clients are told of the caller's account."""

from __future__ import annotations

from typing import Final

from services.gateway.openapi.answers import Time
from services.gateway.openapi.errors import Strict
from services.gateway.openapi.words import Answer, Doc


class TierLimits(Strict):
    """What the tier allows; null where there is no limit."""

    generations_per_day: int | None
    side_pixels_max: int
    steps_max: int
    batch_max: int
    models: list[str] | None


class Today(Strict):
    """What this UTC day has used, and when it ends."""

    images: int
    images_left: int | None
    resets_at: Time


class Account(Strict):
    """The caller's account; a credit is a tenth of a cent."""

    tenant: str
    user: str
    tier: str
    limits: TierLimits
    balance_credits: float
    held_credits: float
    today: Today


ACCOUNT: Final = Doc("account", {200: Answer("The account.", (Account,))})
