"""What only Painter reads."""

from __future__ import annotations

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PainterSettings(BaseSettings):
    """From `STUDIO_PAINTER_*`, and HIP-35's `STUDIO_URL`."""

    model_config = SettingsConfigDict(
        env_prefix="STUDIO_PAINTER_", frozen=True, extra="ignore", populate_by_name=True
    )

    port: int = Field(
        default=3035, ge=0, le=65_535, description="Port of page and API (HIP-35: 3035)."
    )
    host: str = Field(default="127.0.0.1", description="Address that Painter listens on.")
    studio_url: str = Field(
        default="http://127.0.0.1:8188",
        validation_alias=AliasChoices("STUDIO_URL", "STUDIO_PAINTER_STUDIO_URL"),
        description="Studio's API, which Painter is a client of.",
    )
    studio_public_url: str = Field(
        default="",
        description="Where browsers reach Studio; empty means STUDIO_URL on this machine, else "
        "port 8188 of the host that they reach Painter at.",
    )
    public_url: str = Field(
        default="",
        description="Where callers reach Painter, for the addresses of pictures; empty means "
        "the host that they asked.",
    )
    wait_seconds: float = Field(
        default=120.0, ge=0, le=900, description="How long an answer waits for its pictures."
    )
    image_bytes_max: int = Field(
        default=20 * 1024 * 1024,
        ge=1_024,
        le=104_857_600,
        description="Size of one picture that is handed in (R376).",
    )
    fetch_urls: bool = Field(
        default=True, description="Fetch pictures from URLs; they must be on public addresses."
    )
    fetch_seconds: float = Field(
        default=15.0, ge=0.1, le=120, description="How long fetching one picture may take."
    )
    enhance_url: str = Field(
        default="",
        description="Base of a language model's API, like http://gateway:4000/v1; empty means "
        "that no text is enhanced. HANZO_API_KEY is shown to it.",
    )
    enhance_model: str = Field(default="zen-mini", description="The language model to ask.")
    enhance_seconds: float = Field(
        default=20.0, ge=0.1, le=120, description="How long the language model may take."
    )
    prompts_kept_max: int = Field(
        default=100, ge=0, le=10_000, description="Texts that are remembered for each user."
    )
    streams_max: int = Field(
        default=1_000, ge=1, le=100_000, description="Open event streams of this process."
    )
