"""STUDIO_HOME: where everything of one house on one machine is kept."""

from __future__ import annotations

from pathlib import Path

MODEL_FOLDERS = (
    *("checkpoints", "loras", "controlnet", "vae", "clip", "upscale", "unet"),
    *("clip_vision", "embeddings", "ipadapter", "motion"),
)
OPEN_FOLDERS = (*(f"models/{name}" for name in MODEL_FOLDERS), "node_packs")
PRIVATE_FOLDERS = ("nats", "postgres", "s3", "logs", "run")


def lay_out(home: Path) -> Path:
    """Make the folders that are missing; what exists keeps its permissions."""
    home = home.expanduser().absolute()
    if not home.exists():
        home.mkdir(parents=True, mode=0o700)
    for name in OPEN_FOLDERS:
        (home / name).mkdir(parents=True, exist_ok=True)
    for name in PRIVATE_FOLDERS:
        (home / name).mkdir(exist_ok=True, mode=0o700)
    return home


def log_of(home: Path, name: str) -> Path:
    """Name the log of one server."""
    return home / "logs" / f"{name}.log"
