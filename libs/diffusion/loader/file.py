"""A safetensors file, mapped into memory: what it holds is known before anything is read.

Nothing here can execute code out of a file: no other format is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from libs.core.errors import Refused

SUFFIX = ".safetensors"
Key = tuple[str, int, int]


@dataclass(frozen=True)
class WeightsFile:
    """A weights file as it was when it was opened; `key` changes with its content."""

    path: Path
    key: Key

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the file; raise Refused if it is not a readable safetensors file."""
        if path.suffix.lower() != SUFFIX:
            raise Refused(
                "weights are read from .safetensors files only; others can run code",
                file=path.name,
            )
        state = path.stat()
        file = cls(path, (str(path), state.st_size, state.st_mtime_ns))
        file.shapes  # noqa: B018  Reading the header tells now whether the file is whole.
        return file

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each tensor, from the header alone."""
        try:
            with safe_open(self.path, "pt") as file:
                names = file.keys()
                return {name: tuple(file.get_slice(name).get_shape()) for name in names}
        except SafetensorError as error:
            raise Refused(
                "the weights file is damaged", file=self.path.name, reason=str(error)
            ) from error

    def read(self, names: Iterable[str], dtype: torch.dtype) -> dict[str, Tensor]:
        """Return tensors as `dtype`; those that have it already stay mapped, not copied."""
        with safe_open(self.path, "pt") as file:
            return {name: _as(file.get_tensor(name), dtype) for name in names}

    def under(self, prefix: str) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the tensors whose names start with `prefix`, without it."""
        return {
            name.removeprefix(prefix): shape
            for name, shape in self.shapes.items()
            if name.startswith(prefix)
        }

    def read_under(self, prefix: str, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return the tensors whose names start with `prefix`, without it."""
        names = [name for name in self.shapes if name.startswith(prefix)]
        tensors = self.read(names, dtype)
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def _as(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
