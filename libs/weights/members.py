"""Models of several files: weights in shards, tiny VAEs, and folders as diffusers writes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from libs.weights.tiny_vaes import encoder_beside

MODEL_INDEX: Final = "model_index.json"
MEMBERS_MAX: Final = 500
MEMBER_SUFFIXES: Final = frozenset({".safetensors", ".json", ".txt", ".model"})
SHARD: Final = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors")


def is_folder_model(path: Path) -> bool:
    """Say whether a folder is one model, with a subfolder for each of its parts."""
    return (path / MODEL_INDEX).is_file()


def is_later_shard(path: Path) -> bool:
    """Say whether a file belongs to a model that its first shard stands for."""
    shard = SHARD.fullmatch(path.name)
    return shard is not None and int(shard[2]) > 1 and _index_beside(path, shard[1]).is_file()


def members(path: Path) -> tuple[Path, ...]:
    """Return the files that a model consists of: itself, or all that are read along with it."""
    if path.is_dir():
        inside = (*path.glob("*"), *path.glob("*/*"))
        files = [part for part in inside if part.suffix in MEMBER_SUFFIXES and part.is_file()]
        return tuple(sorted(files)[:MEMBERS_MAX])
    shard = SHARD.fullmatch(path.name)
    if shard is None or not _index_beside(path, shard[1]).is_file():
        encoder = encoder_beside(path)
        return (path,) if encoder is None else (path, encoder)
    names = (f"{shard[1]}-{number:05}-of-{shard[3]}" for number in range(1, int(shard[3]) + 1))
    shards = (path.with_name(f"{name}.safetensors") for name in names)
    return (_index_beside(path, shard[1]), *(part for part in shards if part.is_file()))


def _index_beside(path: Path, stem: str) -> Path:
    return path.with_name(f"{stem}.safetensors.index.json")
