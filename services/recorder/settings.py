"""What only the recorder reads."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class RecorderSettings(BaseSettings):
    """From `STUDIO_RECORDER_*`."""

    model_config = SettingsConfigDict(env_prefix="STUDIO_RECORDER_", frozen=True, extra="ignore")

    batch_max: int = Field(
        default=1000, ge=1, le=5000, description="Most events in one transaction."
    )
    batch_min: int = Field(
        default=50, ge=1, le=500, description="Events to wait for while the stream has more."
    )
    check_seconds: float = Field(
        default=3600.0, ge=1, le=86_400, description="How often stream and archive are compared."
    )
    refused_seconds: float = Field(
        default=30.0,
        ge=0.01,
        le=3_600,
        description="Pause before a stream that was refused is checked again.",
    )
    retry_seconds_max: float = Field(
        default=5.0, ge=0.01, le=60, description="Longest pause while PostgreSQL is down."
    )
