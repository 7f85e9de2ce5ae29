"""What more than one service tells in the same words: whose account, and what is left of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Strict(BaseModel):
    """What we write ourselves, and therefore to the last field."""

    model_config = ConfigDict(extra="forbid")


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
