"""What only moderation reads."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ModerationSettings(BaseSettings):
    """From `STUDIO_MODERATION_*`."""

    model_config = SettingsConfigDict(env_prefix="STUDIO_MODERATION_", frozen=True, extra="ignore")

    blocklist: Path | None = Field(
        default=None, description="File that replaces the blocklist that ships with us."
    )
    nudity_threshold: float = Field(
        default=0.85, ge=0, le=1, description="Score at which nudity blocks (R306)."
    )
    classify_at_once: int = Field(
        default=1, ge=1, le=64, description="Pictures that are looked at side by side."
    )
