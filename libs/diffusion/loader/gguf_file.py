"""A GGUF file, mapped into memory: what it holds quantised stays so until it is used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.loader.disk import MappedFile, Span
from libs.diffusion.loader.file import Shape, WeightsFile, key_of
from libs.diffusion.loader.gguf_header import Header, Place, read_header
from libs.diffusion.loader.gguf_names import network_name
from libs.diffusion.loader.safetensors_file import as_numbers, typed
from libs.diffusion.packed.blocks import FORMATS
from libs.diffusion.packed.tensor import PackedTensor

ARCHITECTURE = "general.architecture"
# Converters of picture models note the shape of what they had to flatten under this.
FLATTENED = "comfy.gguf.orig_shape."
PLAIN = {
    0: torch.float32,
    1: torch.float16,
    24: torch.int8,
    25: torch.int16,
    26: torch.int32,
    27: torch.int64,
    28: torch.float64,
    30: torch.bfloat16,
}


@dataclass(frozen=True)
class GgufFile(WeightsFile):
    """One GGUF file; `places` is under the names that networks use."""

    header: Header
    places: Mapping[str, Place]

    @classmethod
    def at(cls, path: Path) -> Self:
        """Return the file; raise Refused if it is damaged or holds an unknown format."""
        with path.open("rb") as stream:
            header = read_header(stream, path.name)
        key = key_of(path)
        architecture = str(header.facts.get(ARCHITECTURE, ""))
        places = {
            network_name(name, architecture): _shaped(name, place, header)
            for name, place in header.places.items()
        }
        for name, place in places.items():
            size = _bytes_of(name, place)
            if header.data_start + place.offset + size > key[1]:
                raise Refused(
                    "the weights file is damaged",
                    file=path.name,
                    reason=f"it ends before the end of {name}",
                )
        return cls(path, key, header, places)

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each tensor, in the order of networks."""
        return {name: place.shape for name, place in self.places.items()}

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """The facts in the file's head, `general.architecture` among them."""
        return self.header.facts

    def read(self, names: Iterable[str], dtype: torch.dtype) -> dict[str, Tensor]:
        """Return tensors that compute as `dtype`; quantised ones stay packed, and mapped."""
        start = self.header.data_start
        spans = {
            name: Span(start + self.places[name].offset, _bytes_of(name, self.places[name]))
            for name in names
        }

        def made(name: str, octets: Tensor) -> Tensor:
            place = self.places[name]
            if place.format in PLAIN:
                return as_numbers(typed(octets, PLAIN[place.format]).view(place.shape), dtype)
            return PackedTensor(FORMATS[place.format], (octets,), place.shape, dtype)

        return MappedFile(self.path).each(spans, made)


def _shaped(name: str, place: Place, header: Header) -> Place:
    noted = header.facts.get(f"{FLATTENED}{name}")
    if noted is None:
        return place
    shape = tuple(int(size) for size in noted)
    if math.prod(shape) != math.prod(place.shape):
        raise Refused(
            "the weights file is damaged",
            reason=f"the noted shape of {name} is not the size of it",
        )
    return Place(shape, place.format, place.offset)


def _bytes_of(name: str, place: Place) -> int:
    count = math.prod(place.shape)
    if place.format in PLAIN:
        return count * PLAIN[place.format].itemsize
    if place.format not in FORMATS:
        raise Refused(
            "the file holds numbers in a format that is not read here",
            tensor=name,
            format=place.format,
            known=[found.name for found in FORMATS.values()],
        )
    found = FORMATS[place.format]
    if count % found.numbers:
        raise Refused("the weights file is damaged", reason=f"{name} is not made of whole blocks")
    return count // found.numbers * found.bytes
