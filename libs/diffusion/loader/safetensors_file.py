"""A safetensors file, mapped into memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.loader.file import Shape, WeightsFile, key_of


@dataclass(frozen=True)
class SafetensorsFile(WeightsFile):
    """One safetensors file."""

    @classmethod
    def at(cls, path: Path) -> Self:
        """Return the file; raise Refused if it is not a readable safetensors file."""
        file = cls(path, key_of(path))
        file.shapes  # noqa: B018  Reading the header tells now whether the file is whole.
        return file

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each tensor, from the header alone."""
        try:
            with safe_open(self.path, "pt") as file:
                names = file.keys()
                return {name: tuple(file.get_slice(name).get_shape()) for name in names}
        except SafetensorError as error:
            raise Refused(
                "the weights file is damaged", file=self.path.name, reason=str(error)
            ) from error

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """The texts that whoever wrote the file put into it."""
        with safe_open(self.path, "pt") as file:
            return dict(file.metadata() or {})

    def read(self, names: Iterable[str], dtype: torch.dtype) -> dict[str, Tensor]:
        """Return tensors as `dtype`; those that have it already stay mapped, not copied."""
        with safe_open(self.path, "pt") as file:
            return {name: as_numbers(file.get_tensor(name), dtype) for name in names}


def as_numbers(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a tensor of numbers as `dtype`; counts and indices stay what they are."""
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
