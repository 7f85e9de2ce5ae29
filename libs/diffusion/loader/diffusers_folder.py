"""A folder as diffusers writes it: a subfolder for each part of a model, with its settings."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.loader.file import Shape, WeightsFile
from libs.diffusion.loader.safetensors_file import SafetensorsFile
from libs.diffusion.loader.shards import INDEX_ENDING, ShardedFile

MODEL_INDEX = "model_index.json"
CONFIG_BYTES_MAX = 16 * 1024 * 1024
# What the weights of a part are called: by diffusers, and by transformers.
STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
# The full numbers come first; a folder may hold the same weights in half precision beside them.
VARIANTS = ("", ".fp16")


@dataclass(frozen=True)
class DiffusersFolder(WeightsFile):
    """Parts by name, `unet` and `vae` among them: a tensor is called `unet.conv_in.weight`."""

    parts: Mapping[str, WeightsFile]
    classes: Mapping[str, str]

    @classmethod
    def at(cls, folder: Path) -> Self:
        """Return the folder; raise Refused if it holds no model that is read here."""
        listed = _document(folder / MODEL_INDEX)
        classes = {
            name: str(pair[1])
            for name, pair in listed.items()
            if isinstance(pair, list) and len(pair) == 2 and all(pair) and Path(name).name == name
        }
        found = {name: _weights(folder / name) for name in sorted(classes)}
        parts = {name: file for name, file in found.items() if file is not None}
        if not parts:
            raise Refused("the folder holds no .safetensors weights", folder=folder.name)
        keys = [part.key for part in parts.values()]
        key = (str(folder), sum(k[1] for k in keys), max(k[2] for k in keys))
        return cls(folder, key, parts, classes)

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each tensor of each part."""
        return {
            f"{part}.{name}": shape
            for part, file in self.parts.items()
            for name, shape in file.shapes.items()
        }

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """The class of each part, those without weights among them."""
        return dict(self.classes)

    @cached_property
    def configs(self) -> Mapping[str, Mapping[str, Any]]:
        """The settings that lie beside the weights of each part, and those of the scheduler."""
        found = {}
        for part in self.classes:
            for name in ("config.json", "scheduler_config.json"):
                if (self.path / part / name).is_file():
                    found[part] = _document(self.path / part / name)
        return found

    def read(self, names: Iterable[str], dtype: torch.dtype) -> dict[str, Tensor]:
        """Return tensors of all parts, in the order asked for."""
        wanted = list(names)
        by_part: dict[str, list[str]] = defaultdict(list)
        for name in wanted:
            part, _, inside = name.partition(".")
            by_part[part].append(inside)
        found: dict[str, Tensor] = {}
        for part, inner in by_part.items():
            tensors = self.parts[part].read(inner, dtype)
            found |= {f"{part}.{name}": tensor for name, tensor in tensors.items()}
        return {name: found[name] for name in wanted}


def _weights(folder: Path) -> WeightsFile | None:
    for stem in STEMS:
        for variant in VARIANTS:
            single = folder / f"{stem}{variant}.safetensors"
            if single.is_file():
                return SafetensorsFile.at(single)
            for index in (
                f"{stem}{variant}{INDEX_ENDING}",
                f"{stem}.safetensors.index{variant}.json",
            ):
                if (folder / index).is_file():
                    return ShardedFile.at(folder / index)
    if any(folder.glob("*.bin")):
        raise Refused(
            "this part of the folder can run code and is never opened; make .safetensors files "
            "of it with `studio models import`",
            part=folder.name,
        )
    return None


def _document(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > CONFIG_BYTES_MAX:
            raise Refused("a settings file is too large", bytes_max=CONFIG_BYTES_MAX)
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Refused(
            "the folder is not one that diffusers wrote", folder=path.parent.name, missing=path.name
        ) from error
    except (OSError, ValueError) as error:
        raise Refused("a settings file is damaged", file=path.name, reason=str(error)) from error
    if not isinstance(document, dict):
        raise Refused("a settings file is damaged", file=path.name, reason="it is no object")
    return document
