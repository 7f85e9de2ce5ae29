"""What is logged and traced, and where it goes."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

LogForm = Literal["auto", "json", "lines"]


class TelemetrySettings(BaseSettings):
    """From `STUDIO_*`; where OpenTelemetry has a name for it, that name is read as well."""

    model_config = SettingsConfigDict(
        env_prefix="STUDIO_", env_file=".env", frozen=True, extra="ignore", populate_by_name=True
    )

    log: LogForm = Field(
        default="auto",
        description="Form of the log: `json`, `lines`, or `auto`: lines on a terminal, else JSON.",
    )
    otlp_endpoint: str = Field(
        default="",
        validation_alias=AliasChoices("STUDIO_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        pattern=r"^(https?://\S+)?$",
        description="Where traces go over OTLP/HTTP, such as http://collector:4318; empty records "
        "none.",
    )
    trace_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of prompts whose trace is recorded; a caller's own decision goes first.",
    )
