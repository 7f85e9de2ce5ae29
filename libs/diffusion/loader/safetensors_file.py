"""A safetensors file: mapped into memory, or read by several threads where that is faster."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.loader.disk import MappedFile, Span
from libs.diffusion.loader.file import Shape, WeightsFile, key_of
from libs.diffusion.packed.narrow import SmallFloats
from libs.diffusion.packed.tensor import PackedTensor

LENGTH_BYTES: Final = 8
TYPES: Final = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
SMALL: Final = frozenset({"F8_E4M3", "F8_E5M2"})
# What stands beside a weight in eight bits: its scale, under either of two names, and notes.
SCALES: Final = ("scale_weight", "weight_scale")
NOTES: Final = ("scale_input", "input_scale", "comfy_quant")
SCALED_MARK: Final = "scaled_fp8"


@dataclass(frozen=True)
class Entry:
    """What the head of a file says of one tensor."""

    type: str
    shape: Shape
    span: Span


@dataclass(frozen=True)
class SafetensorsFile(WeightsFile):
    """One safetensors file; its weights in eight bits stay so in memory."""

    @classmethod
    def at(cls, path: Path) -> Self:
        """Return the file; raise Refused if it is not a readable safetensors file."""
        file = cls(path, key_of(path))
        file.entries  # noqa: B018  Reading the header tells now whether the file is whole.
        return file

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """All that the head lists; it is believed after the format's own reader has checked it."""
        try:
            with safe_open(self.path, "pt") as checked:
                names = list(checked.keys())
            with self.path.open("rb") as file:
                length = int.from_bytes(file.read(LENGTH_BYTES), "little")
                listed = json.loads(file.read(length))
        except (SafetensorError, ValueError) as error:
            raise Refused(
                "the weights file is damaged", file=self.path.name, reason=str(error)
            ) from error
        unknown = {listed[name]["dtype"] for name in names} - set(TYPES)
        if unknown:
            raise Refused(
                "the file holds numbers that are not read here",
                file=self.path.name,
                types=sorted(unknown),
            )
        return {name: _entry(listed[name], LENGTH_BYTES + length) for name in names}

    @cached_property
    def scales(self) -> Mapping[str, str]:
        """The name of the scale of each weight in eight bits that has one."""
        found = {}
        for name, entry in self.entries.items():
            module, _, leaf = name.rpartition(".")
            if leaf == "weight" and entry.type in SMALL:
                beside = [f"{module}.{scale}" for scale in SCALES]
                found[name] = next((scale for scale in beside if scale in self.entries), "")
        return {name: scale for name, scale in found.items() if scale}

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each tensor, from the header alone; scales belong to their weights."""
        beside = set(self.scales.values())
        for name in self.scales:
            beside |= {f"{name.removesuffix('weight')}{note}" for note in NOTES}
        if beside:
            beside.add(SCALED_MARK)
        return {name: entry.shape for name, entry in self.entries.items() if name not in beside}

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """The texts that whoever wrote the file put into it."""
        with safe_open(self.path, "pt") as file:
            return dict(file.metadata() or {})

    def read(self, names: Iterable[str], dtype: torch.dtype) -> dict[str, Tensor]:
        """Return tensors that compute as `dtype`; those that have it already stay mapped.

        Much that is not in memory is read at once instead, at the speed of the disk.
        """
        wanted = list(names)
        file = MappedFile(self.path)

        def numbers(name: str, octets: Tensor) -> Tensor:
            entry = self.entries[name]
            return typed(octets, TYPES[entry.type]).view(entry.shape)

        def made(name: str, octets: Tensor) -> Tensor:
            scale = None
            if name in self.scales:
                beside = self.scales[name]
                scale = numbers(beside, file.octets(self.entries[beside].span)).float()
            return _as_weight(numbers(name, octets), scale, dtype)

        return file.each({name: self.entries[name].span for name in wanted}, made)


def typed(octets: Tensor, dtype: torch.dtype) -> Tensor:
    """Return bytes as numbers; they are copied if they do not lie where such numbers may."""
    if octets.storage_offset() % dtype.itemsize:
        octets = octets.clone()
    return octets.view(dtype)


def as_numbers(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a tensor of numbers as `dtype`; counts and indices stay what they are."""
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _as_weight(tensor: Tensor, scale: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Return numbers in eight bits packed, if they are many; all others as `dtype`."""
    if tensor.dtype not in {torch.float8_e4m3fn, torch.float8_e5m2} or tensor.dim() < 2:
        return as_numbers(tensor, dtype)
    parts = (tensor,) if scale is None else (tensor, scale)
    return PackedTensor(SmallFloats(tensor.dtype), parts, tensor.shape, dtype)


def _entry(listed: Mapping[str, Any], data_start: int) -> Entry:
    begin, end = listed["data_offsets"]
    return Entry(listed["dtype"], tuple(listed["shape"]), Span(data_start + begin, end - begin))
