"""LoRA files out of differences of models: what two of them differ by, in few numbers.

The best change of a low rank is what the largest singular values keep (Eckart and Young 1936).
As in ComfyUI and kohya's scripts the outermost hundredth of its numbers is cut to their bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from libs.diffusion.model import Model
from libs.diffusion.saving.files import About, written
from libs.diffusion.saving.layout import network_tensors
from libs.diffusion.saving.text_layout import FILE_NAMES, encoder_tensors
from libs.diffusion.text.clip import Clip

NETWORK_PREFIX: Final = "diffusion_model."
KEPT_SHARE: Final = 0.99
WEIGHT, BIAS = ".weight", ".bias"

LoraKind = Literal["standard", "full_diff"]


@dataclass(frozen=True)
class Extraction:
    """How a difference is written: in factors of a rank or whole, with biases or without."""

    rank: int
    kind: LoraKind
    with_biases: bool

    def file(self, model: Model | None, clip: Clip | None, about: About, bytes_max: int) -> bytes:
        """Return the file of differences of a model and of its text encoders."""
        tensors: dict[str, Tensor] = {}
        if model is not None:
            tensors |= self.of(NETWORK_PREFIX, network_tensors(model.network.get()))
        for tower in clip.towers if clip is not None else ():
            prefix = f"text_encoders.{FILE_NAMES[tower.name]}.transformer."
            tensors |= self.of(prefix, encoder_tensors(tower))
        return written(tensors, about, bytes_max)

    def of(self, prefix: str, differences: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the parts of a file for the differences of one network."""
        return {
            f"{prefix}{name}": part.half()
            for name, difference in differences.items()
            for name, part in self._parts(name, difference)
        }

    def _parts(self, name: str, difference: Tensor) -> Iterator[tuple[str, Tensor]]:
        if name.endswith(BIAS):
            if self.with_biases:
                yield f"{name.removesuffix(BIAS)}.diff_b", difference
            return
        if not name.endswith(WEIGHT):
            return
        stem = name.removesuffix(WEIGHT)
        if self.kind == "full_diff":
            yield f"{stem}.diff", difference
        elif difference.ndim > 1:
            up, down = factors(difference, self.rank)
            yield f"{stem}.lora_up.weight", up
            yield f"{stem}.lora_down.weight", down
        elif self.with_biases:
            yield f"{stem}.diff", difference


def factors(difference: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return two factors of the nearest difference of a rank, as LoRAs have them."""
    outputs, inputs, *kernel = difference.shape
    rank = min(rank, outputs, inputs)
    left, sizes, right = torch.linalg.svd(difference.float().flatten(1), full_matrices=False)
    up, down = left[:, :rank] * sizes[:rank], right[:rank]
    most = _quantile(torch.cat([up.flatten(), down.flatten()]))
    up, down = up.clamp(-most, most), down.clamp(-most, most)
    return up.reshape(outputs, rank, *(1 for _ in kernel)), down.reshape(rank, inputs, *kernel)


def _quantile(values: Tensor) -> float:
    """Return what the kept share of the values does not exceed; torch's own bears few values."""
    place = KEPT_SHARE * (len(values) - 1)
    below = int(place)
    low = float(values.kthvalue(below + 1).values)
    high = float(values.kthvalue(min(below + 2, len(values))).values)
    return low + (high - low) * (place - below)
