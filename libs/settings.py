"""Settings that more than one service reads; read once, at start, frozen afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

LogLevel = Literal["debug", "info", "warning", "error"]


class Settings(BaseSettings):
    """From the environment: `STUDIO_*`, and the names that HIP-35 fixes without a prefix."""

    model_config = SettingsConfigDict(
        env_prefix="STUDIO_", env_file=".env", frozen=True, extra="ignore", populate_by_name=True
    )

    home: Path = Field(
        default=Path("~/.hanzo-studio"),
        description="The one folder of embedded servers, models and keys.",
    )
    nats_url: str = Field(
        default="",
        validation_alias=AliasChoices("NATS_URL", "STUDIO_NATS_URL"),
        description="NATS server; empty means that `studio up` starts one.",
    )
    nats_user: str = Field(
        default="",
        validation_alias=AliasChoices("NATS_USER", "STUDIO_NATS_USER"),
        description="User on the NATS server, with the rights of one service; empty means that "
        "NATS_URL says it.",
    )
    nats_password: SecretStr = Field(
        default=SecretStr(""),
        validation_alias=AliasChoices("NATS_PASSWORD", "STUDIO_NATS_PASSWORD"),
        description="Password of NATS_USER.",
    )
    database_url: str = Field(
        default="",
        validation_alias=AliasChoices("DATABASE_URL", "STUDIO_DATABASE_URL"),
        description="PostgreSQL; empty means that `studio up` starts one.",
    )
    s3_endpoint: str = Field(
        default="",
        validation_alias=AliasChoices("S3_ENDPOINT", "STUDIO_S3_ENDPOINT"),
        description="S3 server; empty means that `studio up` starts one.",
    )
    s3_access_key: str = Field(
        default="",
        validation_alias=AliasChoices("S3_ACCESS_KEY", "STUDIO_S3_ACCESS_KEY"),
        description="S3 access key.",
    )
    s3_secret_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias=AliasChoices("S3_SECRET_KEY", "STUDIO_S3_SECRET_KEY"),
        description="S3 secret key.",
    )
    s3_region: str = Field(default="us-east-1", description="S3 region.")
    s3_output_bucket: str = Field(
        default="hanzo-outputs",
        validation_alias=AliasChoices("S3_OUTPUT_BUCKET", "STUDIO_S3_OUTPUT_BUCKET"),
        description="Bucket of outputs, inputs and sealed workflows.",
    )
    s3_model_bucket: str = Field(
        default="hanzo-models",
        validation_alias=AliasChoices("S3_MODEL_BUCKET", "STUDIO_S3_MODEL_BUCKET"),
        description="Bucket of model files (R279).",
    )
    hanzo_api_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias=AliasChoices("HANZO_API_KEY", "STUDIO_HANZO_API_KEY"),
        description="API key that `studio generate` shows to a house that wants one.",
    )
    master_key: SecretStr = Field(
        default=SecretStr(""),
        description="Base64 of 32 bytes that wrap the data keys; `studio up` makes one.",
    )
    preview_tenants: str = Field(
        default="",
        max_length=4000,
        description="Tenants, separated by commas, that may see unfinished pictures before "
        "moderation has looked at them; `*` is all of them. A client must ask for previews too.",
    )
    log_level: LogLevel = Field(default="info", description="Least level that is logged.")
    drain_seconds: float = Field(
        default=10.0, ge=0, le=900, description="Grace given to work in hand on stop."
    )
    lease_seconds: float = Field(
        default=30.0,
        ge=1,
        le=600,
        description="Silence after which a worker loses its lease.",
    )
    heartbeat_seconds: float = Field(
        default=2.0, ge=0.1, le=60, description="How often a worker says that it lives."
    )
    events_max_age_days: float = Field(
        default=7.0, ge=0.1, le=90, description="How long JetStream keeps events."
    )
    events_max_mib: int = Field(
        default=2048, ge=16, le=1_000_000, description="How much JetStream keeps of events."
    )
    stream_replicas: int = Field(
        default=1, ge=1, le=5, description="Copies of each stream; 3 in a cluster."
    )

    def shows_previews(self, tenant: str) -> bool:
        """Say whether a tenant may see unfinished pictures before moderation."""
        named = {name.strip() for name in self.preview_tenants.split(",")}
        return bool(tenant) and ("*" in named or tenant in named)
