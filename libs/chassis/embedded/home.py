"""STUDIO_HOME: where one house on one machine keeps everything, and who runs it now."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from libs.chassis.embedded import alive
from libs.chassis.embedded.lock import Lock
from libs.chassis.embedded.secret import write_private

MODEL_FOLDERS = (
    *("checkpoints", "loras", "controlnet", "vae", "clip", "upscale", "unet"),
    *("clip_vision", "style_models", "embeddings", "ipadapter", "motion"),
)
OPEN_FOLDERS = (*(f"models/{name}" for name in MODEL_FOLDERS), "node_packs")
PRIVATE_FOLDERS = ("nats", "postgres", "s3", "logs", "run")

RUNS_ALREADY = (
    "`studio up` is already running on this folder; stop it with Ctrl-C in its terminal or with "
    "`kill <pid>`, or set STUDIO_HOME to another folder"
)


@dataclass(frozen=True)
class Addresses:
    """Where the servers of a house are; empty for a server that is not the house's own."""

    nats_url: str = field(default="", repr=False)
    database_url: str = field(default="", repr=False)
    s3_endpoint: str = ""
    s3_access_key: str = ""
    s3_secret_key: str = field(default="", repr=False)
    s3_region: str = ""

    def environment(self) -> dict[str, str]:
        """Give the variables from which the settings of every process are read."""
        region = "STUDIO_S3_REGION"
        told = {name.upper(): value for name, value in asdict(self).items() if value}
        return {region if name == "S3_REGION" else name: value for name, value in told.items()}


@dataclass(frozen=True)
class House:
    """A running house, as it told other processes of this user."""

    process: alive.ProcessId
    addresses: Addresses
    urls: dict[str, str] = field(default_factory=dict)


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


def claim(home: Path) -> Lock:
    """Become the one house on this folder; Misconfigured when there is another."""
    return Lock(home / "run" / "lock", RUNS_ALREADY, home)


def announce(home: Path, addresses: Addresses, urls: dict[str, str]) -> None:
    """Tell other processes of this user where this house is."""
    house = House(alive.of(os.getpid()), addresses, urls)
    write_private(_note(home), json.dumps(asdict(house), indent=2))


def withdraw(home: Path) -> None:
    """Take back what `announce` told."""
    _note(home).unlink(missing_ok=True)


def find(home: Path) -> House | None:
    """Find the house that runs on this folder; None when its process is gone."""
    try:
        told = json.loads(_note(home.expanduser().absolute()).read_text())
        known = {one.name for one in fields(Addresses)}
        house = House(
            alive.ProcessId(**told["process"]),
            Addresses(**{name: told["addresses"][name] for name in known}),
            dict(told["urls"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return house if house.process.is_alive() else None


def _note(home: Path) -> Path:
    return home / "run" / "house.json"
