"""Where blobs lie: every key begins with what it is and whose it is."""

from __future__ import annotations

import hashlib
from typing import Final

# What lies below may be made again: the storage lets it go by itself.
RESULTS: Final = "results/"
RESULT_DAYS: Final = 7


def quarantine_key(tenant: str, prompt_id: str, attempt: int, order: int, index: int) -> str:
    """Return where an output waits for moderation; only moderation and the worker look there."""
    return f"quarantine/{tenant}/{prompt_id}/{attempt}/{order}-{index}"


def output_key(tenant: str, user: str, prompt_id: str, attempt: int, place: str) -> str:
    """Return where a released output lies (X28); `place` is `<order>-<index>`."""
    return f"outputs/{tenant}/{user}/{prompt_id}/{attempt}/{place}"


def input_key(tenant: str, user: str, sha256: str) -> str:
    """Return where an uploaded input lies, by its content."""
    return f"inputs/{tenant}/{user}/{sha256}"


def workflow_key(tenant: str, ciphertext: bytes) -> str:
    """Return where a sealed workflow too large for the bus lies."""
    return f"workflows/{tenant}/{hashlib.sha256(ciphertext).hexdigest()}"


def schemas_key(data: bytes) -> str:
    """Return where a worker's description of its node packs lies; it names nobody."""
    return f"schemas/{hashlib.sha256(data).hexdigest()}"


def pages_key(data: bytes) -> str:
    """Return where the files lie that a node pack adds to the editor; they name nobody."""
    return f"pages/{hashlib.sha256(data).hexdigest()}"


def result_key(tenant: str, user: str, digest: str) -> str:
    """Return where the sealed result of a node lies for a while, by what it was made from."""
    return f"{RESULTS}{tenant}/{user}/{digest}"


def model_metadata_key(folder: str, name: str, size_bytes: int, modified_ms: int) -> str:
    """Return where a worker has put what is written in a model file."""
    return f"{_of_model(folder, name, size_bytes, modified_ms)}/metadata"


def model_preview_key(folder: str, name: str, size_bytes: int, modified_ms: int) -> str:
    """Return where a worker has put the picture of a model file."""
    return f"{_of_model(folder, name, size_bytes, modified_ms)}/preview"


def _of_model(folder: str, name: str, size_bytes: int, modified_ms: int) -> str:
    # By a digest: names of files are what people typed.
    told = f"{folder}/{name}\0{size_bytes}\0{modified_ms}".encode()
    return f"models/{hashlib.sha256(told).hexdigest()}"
