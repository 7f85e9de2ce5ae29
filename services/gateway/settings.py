"""What only the gateway reads."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

AuthMode = Literal["local", "keys"]


class GatewaySettings(BaseSettings):
    """From `STUDIO_GATEWAY_*`."""

    model_config = SettingsConfigDict(env_prefix="STUDIO_GATEWAY_", frozen=True, extra="ignore")

    port: int = Field(default=8188, ge=0, le=65_535, description="Port of the API (HIP-35: 8188).")
    host: str = Field(default="127.0.0.1", description="Address that the API listens on.")
    auth: AuthMode = Field(
        default="local",
        description="`local`: whoever reaches the port is the one user. `keys`: API keys only.",
    )
    session_seconds: int = Field(
        default=604_800, ge=60, le=31_536_000, description="How long a login in a browser lasts."
    )
    editor: bool = Field(
        default=True, description="Serve ComfyUI's editor at `/` where its package is installed."
    )
    node_pack_pages: bool = Field(
        default=True,
        description="Serve the scripts that node packs of the workers add to the editor.",
    )
    admission_wait_seconds: float = Field(
        default=10.0, ge=0.05, le=120, description="How long a submission waits for its answer."
    )
    settle_seconds: float = Field(
        default=2.0, ge=0, le=30, description="How long a cancellation waits to be seen done."
    )
    queue_depth_max: int = Field(
        default=1_000, ge=1, le=1_000_000, description="Open prompts that one tenant may have."
    )
    workflow_bytes_max: int = Field(
        default=1_048_576, ge=1_024, le=16_777_216, description="Size of a submission (R374)."
    )
    upload_bytes_max: int = Field(
        default=20 * 1024 * 1024,
        ge=1_024,
        le=1_073_741_824,
        description="Size of one uploaded image (R376).",
    )
    upload_pixels_max: int = Field(
        default=64_000_000, ge=1, le=1_000_000_000, description="Pixels of one uploaded image."
    )
    ws_sockets_max: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Open WebSockets of this process."
    )
    ws_frames_max: int = Field(
        default=1_024,
        ge=8,
        le=100_000,
        description="Frames that may wait for one socket; a slower one is dropped.",
    )
    signal_wait_seconds: float = Field(
        default=1.0, ge=0, le=30, description="How long frames wait for news that may be lost."
    )
    catalogue_seconds: float = Field(
        default=1.0, ge=0, le=60, description="How long the lists of model files are reused."
    )
    history_items_max: int = Field(
        default=10_000, ge=1, le=100_000, description="Most history entries in one answer."
    )
