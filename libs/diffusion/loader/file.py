"""A source of weights: what it holds is known before anything is read.

Files of tensors and folders of such files are opened; nothing that could run code ever is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Key = tuple[str, int, int]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class WeightsFile(ABC):
    """A weights file as it was when it was opened; `key` changes with its content."""

    path: Path
    key: Key

    @staticmethod
    def open(path: Path) -> WeightsFile:
        """Return the file or folder; raise Refused if it is of no format that is read here."""
        from libs.diffusion.loader.opening import open_weights

        return open_weights(path)

    @property
    @abstractmethod
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each tensor, known without reading any."""

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """What the file says about itself."""
        return {}

    @cached_property
    def configs(self) -> Mapping[str, Mapping[str, Any]]:
        """The settings of each part of a diffusers folder; a single file has none."""
        return {}

    @abstractmethod
    def read(self, names: Iterable[str], dtype: torch.dtype) -> dict[str, Tensor]:
        """Return tensors that compute as `dtype`; those that have it already stay mapped.

        What the file holds quantised stays so in memory, as a PackedTensor.
        """

    def under(self, prefix: str) -> dict[str, Shape]:
        """Return the shapes of the tensors whose names start with `prefix`, without it."""
        return {
            name.removeprefix(prefix): shape
            for name, shape in self.shapes.items()
            if name.startswith(prefix)
        }

    def blank_under(self, prefix: str) -> dict[str, Tensor]:
        """Return tensors without numbers in the place of those under `prefix`."""
        return {
            name: torch.empty(shape, device="meta") for name, shape in self.under(prefix).items()
        }

    def read_under(self, prefix: str, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return the tensors whose names start with `prefix`, without it."""
        names = [name for name in self.shapes if name.startswith(prefix)]
        tensors = self.read(names, dtype)
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def key_of(*paths: Path) -> Key:
    """Return what changes when one of the files does; the first names them all."""
    states = [path.stat() for path in paths]
    size = sum(state.st_size for state in states)
    return str(paths[0]), size, max(state.st_mtime_ns for state in states)
