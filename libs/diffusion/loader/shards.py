"""Weights cut into several safetensors files, which an index lists."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.loader.file import Shape, WeightsFile, key_of
from libs.diffusion.loader.safetensors_file import SafetensorsFile

INDEX_ENDING = ".safetensors.index.json"
INDEX_BYTES_MAX = 64 * 1024 * 1024
SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}\.safetensors")


def index_of(path: Path) -> Path | None:
    """Return the index that `path` is, or whose shard it is; None if it stands alone."""
    if path.name.endswith(INDEX_ENDING):
        return path
    shard = SHARD.fullmatch(path.name)
    if shard is None:
        return None
    index = path.with_name(shard[1] + INDEX_ENDING)
    return index if index.is_file() else None


@dataclass(frozen=True)
class ShardedFile(WeightsFile):
    """Several files that are one; `places` says which of them holds a tensor."""

    shards: Mapping[str, SafetensorsFile]
    places: Mapping[str, str]

    @classmethod
    def at(cls, index: Path) -> Self:
        """Return what an index lists; raise Refused if a file or a tensor is missing."""
        places = _places(index)
        shards = {}
        for name in sorted(set(places.values())):
            path = index.parent / name
            if not path.is_file():
                raise Refused("a part of the weights is missing", index=index.name, missing=name)
            shards[name] = SafetensorsFile.at(path)
        for tensor, shard in places.items():
            if tensor not in shards[shard].shapes:
                raise Refused(
                    "the index names a tensor that its file does not hold",
                    index=index.name,
                    tensor=tensor,
                )
        key = key_of(index, *(shard.path for shard in shards.values()))
        return cls(index, key, shards, places)

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each tensor, from the headers alone."""
        return {name: self.shards[shard].shapes[name] for name, shard in self.places.items()}

    def read(self, names: Iterable[str], dtype: torch.dtype) -> dict[str, Tensor]:
        """Return tensors out of all files, in the order asked for."""
        wanted = list(names)
        by_shard: dict[str, list[str]] = defaultdict(list)
        for name in wanted:
            by_shard[self.places[name]].append(name)
        found: dict[str, Tensor] = {}
        for shard, inside in by_shard.items():
            found |= self.shards[shard].read(inside, dtype)
        return {name: found[name] for name in wanted}


def _places(index: Path) -> dict[str, str]:
    try:
        if index.stat().st_size > INDEX_BYTES_MAX:
            raise Refused("the index of the weights is too large", bytes_max=INDEX_BYTES_MAX)
        listed: Any = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        places = {str(tensor): str(shard) for tensor, shard in listed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(
            "the index of the weights is damaged", file=index.name, reason=str(error)
        ) from error
    for shard in set(places.values()):
        # A shard lies beside its index: a name that leads elsewhere is not followed.
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise Refused("an index lists only .safetensors files beside it", named=shard)
    return places
