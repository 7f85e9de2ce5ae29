"""Which reader opens a weights file: told by its name's ending, then checked by its content."""

from __future__ import annotations

from pathlib import Path

from libs.core.errors import Refused
from libs.diffusion.loader.diffusers_folder import MODEL_INDEX, DiffusersFolder
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.loader.gguf_file import GgufFile
from libs.diffusion.loader.safetensors_file import SafetensorsFile
from libs.diffusion.loader.shards import ShardedFile, index_of

PICKLES = frozenset({".ckpt", ".pt", ".pth", ".bin", ".pkl"})


def open_weights(path: Path) -> WeightsFile:
    """Return the source of weights at `path`; raise Refused if none is read there."""
    if path.name == MODEL_INDEX:
        return DiffusersFolder.at(path.parent)
    if path.is_dir():
        return DiffusersFolder.at(path)
    suffix = path.suffix.lower()
    if suffix == ".gguf":
        return GgufFile.at(path)
    index = index_of(path)
    if index is not None:
        return ShardedFile.at(index)
    if suffix == ".safetensors":
        return SafetensorsFile.at(path)
    if suffix in PICKLES:
        raise Refused(
            "this file can run code and is never opened; make a .safetensors file of it with "
            "`studio models import`",
            file=path.name,
        )
    raise Refused(
        "weights are read from .safetensors and .gguf files and from diffusers folders",
        file=path.name,
    )
