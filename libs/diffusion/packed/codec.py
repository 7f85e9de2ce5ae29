"""How packed numbers are kept, and what can be done with them as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

Parts = tuple[Tensor, ...]


@runtime_checkable
class Codec(Protocol):
    """One way to keep a tensor packed, in one or more plain tensors called its parts.

    The methods that keep a tensor packed return None where that cannot be done.
    """

    @property
    def name(self) -> str:
        """What people call the way."""

    def unpacked(self, parts: Parts, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Return the numbers."""

    def rows(self, parts: Parts, shape: torch.Size, index: slice | Tensor) -> Parts | None:
        """Return the parts of some rows along the first dimension."""

    def joined(self, several: Sequence[Parts]) -> Parts | None:
        """Return the parts of tensors that are put below each other."""

    def reshaped(self, parts: Parts, shape: torch.Size, new: torch.Size) -> Parts | None:
        """Return the parts of the same numbers, in the same order, in another shape."""

    def linear(self, x: Tensor, parts: Parts, bias: Tensor | None) -> Tensor | None:
        """Return what a layer of these weights makes of `x`, without unpacking them."""
