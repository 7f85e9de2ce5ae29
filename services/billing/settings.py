"""What only billing reads."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class BillingSettings(BaseSettings):
    """From `STUDIO_BILLING_*`."""

    model_config = SettingsConfigDict(env_prefix="STUDIO_BILLING_", frozen=True, extra="ignore")

    welcome_credits: int = Field(
        default=1000,
        ge=0,
        le=10_000_000,
        description="Credits put on an account when it is first used (HIP-0018 free tier).",
    )
