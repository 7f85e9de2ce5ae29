"""What only the scheduler reads."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SchedulerSettings(BaseSettings):
    """From `STUDIO_SCHEDULER_*`."""

    model_config = SettingsConfigDict(env_prefix="STUDIO_SCHEDULER_", frozen=True, extra="ignore")

    attempts_max: int = Field(
        default=3, ge=1, le=10, description="Leases that a run may have before it fails."
    )
    cancel_seconds: float = Field(
        default=10.0,
        ge=0.1,
        le=600,
        description="How long a worker may take to stop before its run ends without it.",
    )
    term_seconds: float = Field(
        default=3600.0,
        ge=1,
        le=86_400,
        description="The longest that one attempt may take, however lively its worker is.",
    )
    wait_seconds_max: float = Field(
        default=86_400.0, ge=1, le=604_800, description="The longest that a run waits for a worker."
    )
    unfit_seconds: float = Field(
        default=60.0,
        ge=0.1,
        le=86_400,
        description="How long a run waits when no living worker could ever execute it.",
    )
    poll_seconds: float = Field(
        default=2.0, ge=0.05, le=30, description="How long an ask for a lease is kept waiting."
    )
    queue_max: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Runs that may wait at once."
    )
    tenant_queue_max: int = Field(
        default=2_000, ge=1, le=1_000_000, description="Runs of one tenant that may wait at once."
    )
