"""Where the running house is, for commands that talk to one."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from libs.chassis.embedded.home import find
from libs.chassis.embedded.secret import write_private
from libs.core.errors import Misconfigured, Unavailable
from libs.settings import Settings

PORT = 8188
PAINTER_PORT = 3035
MASTER_KEY_BYTES = 32


def running_url(settings: Settings) -> str:
    """Return the API of the house on this folder, or of STUDIO_URL; Unavailable if none runs."""
    told = os.environ.get("STUDIO_URL")
    if told:
        return told.rstrip("/")
    house = find(settings.home)
    if house is None or "studio" not in house.urls:
        raise Unavailable(
            "no house runs here; start one with `studio up`, or set STUDIO_URL to another",
            home=str(settings.home.expanduser()),
        )
    return house.urls["studio"]


def running_settings(settings: Settings) -> Settings:
    """Return `settings` completed with the addresses of the house that runs on this folder."""
    if settings.nats_url and settings.database_url:
        return settings
    house = find(settings.home)
    if house is None:
        raise Unavailable(
            "no house runs here; start one with `studio up`, or set NATS_URL and DATABASE_URL",
            home=str(settings.home.expanduser()),
        )
    os.environ.update(house.addresses.environment())
    os.environ.setdefault("STUDIO_MASTER_KEY", master_key(settings.home.expanduser()))
    return Settings()


def master_key(home: Path) -> str:
    """Return the key that wraps all data keys; it is made once and readable by its owner only."""
    path = home / "master.key"
    if not path.exists():
        write_private(path, base64.b64encode(secrets.token_bytes(MASTER_KEY_BYTES)).decode())
    key = path.read_text().strip()
    if not key:
        raise Misconfigured("the master key is empty", file=str(path))
    return key
