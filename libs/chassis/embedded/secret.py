"""Passwords of the embedded servers: made once, kept in a file that only the owner reads."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

SECRET_BYTES = 24


def secret(path: Path) -> str:
    """Read the secret in this file, or make one and keep it there."""
    if not path.exists():
        write_private(path, secrets.token_hex(SECRET_BYTES) + "\n")
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
