"""Packed numbers with a change of low rank beside them: both stay small until they are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from libs.diffusion.packed.codec import Codec, Parts
from libs.diffusion.packed.tensor import PackedTensor

# What is added: the product of both, [rows, rank] and [rank, the rest].
Factors = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Amended:
    """A codec whose last parts are the factors of changes to what another one unpacks."""

    inner: Codec
    changes: int

    @property
    def name(self) -> str:
        """What people call the other way."""
        return self.inner.name

    def unpacked(self, parts: Parts, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Return the numbers: summed in float32, and rounded once."""
        kept, factors = self._apart(parts)
        numbers = self.inner.unpacked(kept, shape, torch.float32)
        for up, down in factors:
            numbers = numbers + (up.float() @ down.float()).reshape(shape)
        return numbers.to(dtype)

    def rows(self, parts: Parts, shape: torch.Size, index: slice | Tensor) -> Parts | None:
        """Return rows of the numbers with the same rows of their changes."""
        kept, factors = self._apart(parts)
        found = self.inner.rows(kept, shape, index)
        if found is None:
            return None
        return (*found, *(one for up, down in factors for one in (up[index], down)))

    def joined(self, _several: Sequence[Parts]) -> None:
        """Leave it: changes of different rows have no product in common."""

    def reshaped(self, _parts: Parts, _shape: torch.Size, _new: torch.Size) -> None:
        """Leave it: only the unpacked numbers know which way their changes lie."""

    def linear(self, _x: Tensor, _parts: Parts, _bias: Tensor | None) -> None:
        """Compute with the unpacked numbers."""

    def _apart(self, parts: Parts) -> tuple[Parts, list[Factors]]:
        kept = len(parts) - 2 * self.changes
        ups, downs = parts[kept::2], parts[kept + 1 :: 2]
        return parts[:kept], list(zip(ups, downs, strict=True))


def amended(packed: PackedTensor, factors: Sequence[Factors]) -> PackedTensor:
    """Return packed numbers with changes beside them."""
    beside = tuple(one.to(packed.device) for pair in factors for one in pair)
    codec = Amended(packed.codec, len(factors))
    return PackedTensor(codec, (*packed.parts, *beside), packed.shape, packed.dtype)
