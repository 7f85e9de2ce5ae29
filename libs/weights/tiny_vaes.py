"""Tiny VAEs: two small files each, an encoder and a decoder, that are quick in place of fine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

V = TypeVar("V")

FOLDER: Final = "vae_approx"
NAMES: Final = ("taesd", "taesdxl", "taesd3", "taef1")
ENDING: Final = ".safetensors"

# Finds where the decoder of a tiny VAE lies.
FindTiny: TypeAlias = Callable[[str], Path | None]


def nowhere(_name: str) -> None:
    """Find no decoder."""


def decoder_of(files: Mapping[str, V], name: str) -> V | None:
    """Return the decoder of a tiny VAE out of the files of a folder, by their names."""
    found = (file for file in sorted(files) if _is_half(file, name, "decoder"))
    return next((files[file] for file in found), None)


def name_of(decoder: Path) -> str | None:
    """Return the tiny VAE that a file is the decoder of, None if it is of none by its name."""
    return next((name for name in NAMES if _is_half(decoder.name, name, "decoder")), None)


def encoder_beside(decoder: Path) -> Path | None:
    """Return the other half of a tiny VAE, None where there is none."""
    name = name_of(decoder)
    if name is None:
        return None
    beside = sorted(decoder.parent.glob(f"{name}_*"))
    return next((path for path in beside if _is_half(path.name, name, "encoder")), None)


def _is_half(file: str, name: str, half: str) -> bool:
    bare = file.rpartition("/")[2]
    return bare.startswith(f"{name}_{half}") and bare.endswith(ENDING)
