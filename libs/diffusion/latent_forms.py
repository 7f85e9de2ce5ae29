"""Latents of models whose files do not tell that theirs are others than their kind's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from libs.diffusion.architectures.base import LatentFormat


@dataclass(frozen=True)
class SpreadLatents(LatentFormat):
    """Latents with a mean and a deviation for each channel."""

    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()

    def inward(self, samples: Tensor) -> Tensor:
        return (samples - _by_channel(self.means, samples)) * self.scale / self._deviation(samples)

    def outward(self, samples: Tensor) -> Tensor:
        return samples * self._deviation(samples) / self.scale + _by_channel(self.means, samples)

    def _deviation(self, like: Tensor) -> Tensor:
        return _by_channel(self.deviations, like)


def _by_channel(values: tuple[float, ...], like: Tensor) -> Tensor:
    return like.new_tensor(values).view(1, -1, *[1] * (like.ndim - 2))


# As Playground v2.5 publishes them in the settings of its VAE.
FORMS: Final[Mapping[str, LatentFormat]] = {
    "playground_2.5": SpreadLatents(
        channels=4,
        scale=0.5,
        means=(-1.6574, 1.886, -1.383, 2.5155),
        deviations=(8.4927, 5.9022, 6.5498, 5.2299),
    )
}
