"""The blocks of GGUF files: a few numbers that share scales, packed into a row of bytes.

Each format is one function from blocks, a row of bytes each, to rows of float32 numbers, as
the format's specification (ggml, MIT) lays them out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from libs.diffusion.packed.codec import Parts

UNPACKED_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True)
class BlockFormat:
    """A codec whose one part is the bytes of all blocks, in the order of the numbers."""

    name: str
    numbers: int
    bytes: int
    unpack: Callable[[Tensor], Tensor]

    def unpacked(self, parts: Parts, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Return the numbers; they are computed in float32, some blocks at a time."""
        blocks = parts[0].view(-1, self.bytes)
        at_once = max(1, UNPACKED_BYTES_MAX // (4 * self.numbers))
        if len(blocks) <= at_once:
            return self.unpack(blocks).to(dtype).view(shape)
        found = torch.empty(len(blocks), self.numbers, dtype=dtype, device=blocks.device)
        for start in range(0, len(blocks), at_once):
            found[start : start + at_once] = self.unpack(blocks[start : start + at_once])
        return found.view(shape)

    def rows(self, parts: Parts, shape: torch.Size, index: slice | Tensor) -> Parts | None:
        """Return whole blocks; a row that shares a block with another cannot be taken out."""
        count = shape[1:].numel()
        if not shape or not shape[0] or count % self.numbers:
            return None
        by_row = parts[0].view(shape[0], count // self.numbers * self.bytes)
        return (by_row[index].view(-1),)

    def joined(self, several: Sequence[Parts]) -> Parts:
        """Return the blocks of one tensor after those of the other."""
        return (torch.cat([parts[0].view(-1) for parts in several]),)

    def reshaped(self, parts: Parts, _shape: torch.Size, _new: torch.Size) -> Parts:
        """Return the same blocks: they say nothing of the shape."""
        return parts

    def linear(self, _x: Tensor, _parts: Parts, _bias: Tensor | None) -> None:
        """Compute with the unpacked numbers."""


def _half(blocks: Tensor, start: int) -> Tensor:
    """Return the float16 that starts at a byte of each block, as a column of float32."""
    return blocks[:, start : start + 2].contiguous().view(torch.float16).float()


def _shifted(octets: Tensor, width: int, shifts: Sequence[int]) -> Tensor:
    """Return each run of `width` bytes once for every shift, shifted to the right by it."""
    steps = torch.tensor(shifts, dtype=torch.uint8, device=octets.device).view(1, 1, -1, 1)
    return octets.reshape(len(octets), -1, 1, width) >> steps


def _nibbles(octets: Tensor) -> Tensor:
    return _shifted(octets, octets.shape[1], (0, 4)).flatten(1) & 0x0F


def _fifth_bits(octets: Tensor) -> Tensor:
    """Return the 32 bits of four bytes, the lowest first, each as the fifth bit of a number."""
    steps = torch.arange(8, dtype=torch.uint8, device=octets.device)
    return ((octets[:, :, None] >> steps) & 1).flatten(1) << 4


def _q4_0(blocks: Tensor) -> Tensor:
    return _half(blocks, 0) * (_nibbles(blocks[:, 2:]).to(torch.int8) - 8).float()


def _q4_1(blocks: Tensor) -> Tensor:
    return _half(blocks, 0) * _nibbles(blocks[:, 4:]).float() + _half(blocks, 2)


def _q5_0(blocks: Tensor) -> Tensor:
    numbers = _nibbles(blocks[:, 6:]) | _fifth_bits(blocks[:, 2:6])
    return _half(blocks, 0) * (numbers.to(torch.int8) - 16).float()


def _q5_1(blocks: Tensor) -> Tensor:
    numbers = _nibbles(blocks[:, 8:]) | _fifth_bits(blocks[:, 4:8])
    return _half(blocks, 0) * numbers.float() + _half(blocks, 2)


def _q8_0(blocks: Tensor) -> Tensor:
    return _half(blocks, 0) * blocks[:, 2:].contiguous().view(torch.int8).float()


def _q2_k(blocks: Tensor) -> Tensor:
    scales, octets = blocks[:, :16], blocks[:, 16:80]
    scale = (_half(blocks, 80) * (scales & 0x0F).float())[:, :, None]
    least = (_half(blocks, 82) * (scales >> 4).float())[:, :, None]
    numbers = (_shifted(octets, 32, (0, 2, 4, 6)) & 3).reshape(-1, 16, 16)
    return (scale * numbers.float() - least).flatten(1)


def _q3_k(blocks: Tensor) -> Tensor:
    high, octets, scales = blocks[:, :32], blocks[:, 32:96], blocks[:, 96:108]
    low_bits = _shifted(scales[:, :8], 8, (0, 4)).flatten(1) & 0x0F
    high_bits = _shifted(scales[:, 8:], 4, (0, 2, 4, 6)).flatten(1) & 3
    scale = (low_bits | (high_bits << 4)).to(torch.int8) - 32
    by_group = (_half(blocks, 108) * scale.float())[:, :, None]
    low = _shifted(octets, 32, (0, 2, 4, 6)).reshape(-1, 16, 16) & 3
    missing = (_shifted(high, 32, range(8)).reshape(-1, 16, 16) & 1) ^ 1
    numbers = low.to(torch.int8) - (missing << 2).to(torch.int8)
    return (by_group * numbers.float()).flatten(1)


def _scales_and_leasts(octets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eight scales and the eight least numbers, six bits each, of a block."""
    first, second, rest = octets.view(-1, 3, 4).unbind(1)
    scales = torch.cat([first & 0x3F, (rest & 0x0F) | ((first >> 2) & 0x30)], -1)
    leasts = torch.cat([second & 0x3F, (rest >> 4) | ((second >> 2) & 0x30)], -1)
    return scales.float(), leasts.float()


def _with_leasts(blocks: Tensor, numbers: Tensor) -> Tensor:
    scales, leasts = _scales_and_leasts(blocks[:, 4:16].contiguous())
    scale, least = _half(blocks, 0) * scales, _half(blocks, 2) * leasts
    return (scale[:, :, None] * numbers.float() - least[:, :, None]).flatten(1)


def _q4_k(blocks: Tensor) -> Tensor:
    numbers = _shifted(blocks[:, 16:], 32, (0, 4)).reshape(-1, 8, 32) & 0x0F
    return _with_leasts(blocks, numbers)


def _q5_k(blocks: Tensor) -> Tensor:
    low = _shifted(blocks[:, 48:], 32, (0, 4)).reshape(-1, 8, 32) & 0x0F
    high = _shifted(blocks[:, 16:48], 32, range(8)).reshape(-1, 8, 32) & 1
    return _with_leasts(blocks, low | (high << 4))


def _q6_k(blocks: Tensor) -> Tensor:
    low = _shifted(blocks[:, :128], 64, (0, 4)).reshape(-1, 8, 32) & 0x0F
    high = _shifted(blocks[:, 128:192], 32, (0, 2, 4, 6)).reshape(-1, 8, 32) & 3
    numbers = ((low | (high << 4)).to(torch.int8) - 32).reshape(-1, 16, 16)
    scales = blocks[:, 192:208].contiguous().view(torch.int8).float()
    return ((_half(blocks, 208) * scales)[:, :, None] * numbers.float()).flatten(1)


# By the number that GGUF files know a format by.
FORMATS = {
    2: BlockFormat("Q4_0", 32, 18, _q4_0),
    3: BlockFormat("Q4_1", 32, 20, _q4_1),
    6: BlockFormat("Q5_0", 32, 22, _q5_0),
    7: BlockFormat("Q5_1", 32, 24, _q5_1),
    8: BlockFormat("Q8_0", 32, 34, _q8_0),
    10: BlockFormat("Q2_K", 256, 84, _q2_k),
    11: BlockFormat("Q3_K", 256, 110, _q3_k),
    12: BlockFormat("Q4_K", 256, 144, _q4_k),
    13: BlockFormat("Q5_K", 256, 176, _q5_k),
    14: BlockFormat("Q6_K", 256, 210, _q6_k),
}
