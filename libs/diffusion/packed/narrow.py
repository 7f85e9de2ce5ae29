"""Numbers kept in eight bits: as small floats, or as integers with a scale for each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from libs.diffusion.packed.codec import Parts
from libs.diffusion.packed.tensor import PackedTensor

INT8_MAX = 127
# What one product of eight-bit floats wants to be a multiple of, in both directions.
PRODUCT_STEP = 16


@dataclass(frozen=True)
class SmallFloats:
    """A codec of floats in fewer bits; a second part, if there is one, scales them.

    `multiplies` says that layers are computed in these floats where the device can.
    """

    stored: torch.dtype
    multiplies: bool = False

    @property
    def name(self) -> str:
        """What torch calls these floats."""
        return str(self.stored).removeprefix("torch.")

    def unpacked(self, parts: Parts, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Return the numbers."""
        numbers = parts[0].to(dtype).view(shape)
        return numbers if len(parts) == 1 else numbers * _beside(parts[1], shape).to(dtype)

    def rows(self, parts: Parts, shape: torch.Size, index: slice | Tensor) -> Parts | None:
        """Return rows; a scale may be one for all, or one for each."""
        if not shape:
            return None
        # Not every device looks up single rows in these floats: as bytes it does.
        octets = parts[0].view(shape).view(torch.uint8)[index]
        scales = tuple(one if one.numel() == 1 else one[index] for one in parts[1:])
        return (octets.view(self.stored), *scales)

    def joined(self, several: Sequence[Parts]) -> Parts | None:
        """Return the rows of all; scaled ones are not joined."""
        if any(len(parts) > 1 for parts in several):
            return None
        octets = [parts[0].view(torch.uint8) for parts in several]
        return (torch.cat(octets).view(self.stored),)

    def reshaped(self, parts: Parts, _shape: torch.Size, new: torch.Size) -> Parts | None:
        """Return the numbers in another shape, unless each row has a scale."""
        if any(scale.numel() > 1 for scale in parts[1:]):
            return None
        return (parts[0].reshape(new), *parts[1:])

    def linear(self, x: Tensor, parts: Parts, bias: Tensor | None) -> Tensor | None:
        """Return the product of a layer in these floats, or None where it cannot be had."""
        weight = parts[0]
        if not self.multiplies or weight.dim() != 2 or not multiplies_in(x.device):
            return None
        rows, columns = weight.shape
        if rows % PRODUCT_STEP or columns % PRODUCT_STEP or x.dtype is torch.float32:
            return None
        most = torch.finfo(torch.float8_e4m3fn).max
        flat = x.reshape(-1, columns).clamp(-most, most).to(torch.float8_e4m3fn)
        one = torch.ones((), device=x.device)
        scale = parts[1].float().view(()) if len(parts) > 1 else one
        product = torch._scaled_mm(  # noqa: SLF001  Torch has no other name for it.
            flat, weight.t(), scale_a=one, scale_b=scale, bias=bias, out_dtype=x.dtype
        )
        return product.view(*x.shape[:-1], rows)


@dataclass(frozen=True)
class Int8Rows:
    """A codec of eight-bit integers, with a scale for each row (one output of a layer)."""

    name: str = "int8"

    def unpacked(self, parts: Parts, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Return the numbers, computed in float32."""
        return (parts[0].float() * _beside(parts[1], shape)).to(dtype)

    def rows(self, parts: Parts, _shape: torch.Size, index: slice | Tensor) -> Parts:
        """Return rows with their scales."""
        return (parts[0][index], parts[1][index])

    def joined(self, several: Sequence[Parts]) -> Parts:
        """Return the rows of all with their scales."""
        values, scales = zip(*several, strict=True)
        return (torch.cat(values), torch.cat(scales))

    def reshaped(self, parts: Parts, shape: torch.Size, new: torch.Size) -> Parts | None:
        """Return the numbers in another shape, if rows stay rows."""
        if not new or new[0] != shape[0]:
            return None
        return (parts[0].reshape(new), parts[1])

    def linear(self, _x: Tensor, _parts: Parts, _bias: Tensor | None) -> None:
        """Compute with the unpacked numbers."""


def small_floats(tensor: Tensor, codec: SmallFloats, dtype: torch.dtype) -> PackedTensor:
    """Return numbers kept as small floats, each rounded to the nearest of them."""
    most = torch.finfo(codec.stored).max
    values = tensor.clamp(-most, most).to(codec.stored)
    return PackedTensor(codec, (values,), tensor.shape, dtype)


def int8_rows(tensor: Tensor, dtype: torch.dtype) -> PackedTensor:
    """Return numbers kept as integers; the largest of each row becomes 127."""
    flat = tensor.float().reshape(tensor.shape[0], -1)
    scale = flat.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / INT8_MAX
    values = (flat / scale[:, None]).round().clamp(-INT8_MAX, INT8_MAX).to(torch.int8)
    return PackedTensor(Int8Rows(), (values.view(tensor.shape), scale), tensor.shape, dtype)


def multiplies_in(device: torch.device) -> bool:
    """Say whether a device multiplies eight-bit floats: NVIDIA's do from Ada on."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)


def _beside(scale: Tensor, shape: torch.Size) -> Tensor:
    """Return a scale, or a column of scales, in as many dimensions as what it scales."""
    if scale.numel() == 1:
        return scale.reshape(())
    return scale.reshape(-1, *(1 for _ in shape[1:]))
