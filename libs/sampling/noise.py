"""Where randomness comes from: the seed, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from libs.sampling.levels import Array

SEED_BITS: Final = 2**64 - 1

# The pictures this engine is held to were made by ComfyUI 0.3.64. Its pull request 11528 later
# moved the noise drawn on a CPU during sampling to seed + 1.
COMPATIBILITY_REFERENCE: Final = 0
COMPATIBILITY_CPU_NOISE: Final = 11528

Draw: TypeAlias = Callable[[], Array]
# Told two levels, the higher first or last.
Between: TypeAlias = Callable[[float, float], Array]


@dataclass(frozen=True)
class Seeded:
    """NOISE: what a course starts from, by its seed; nothing at all if it is not `drawn`."""

    seed: int
    drawn: bool = True


class NoiseSource(Protocol):
    """Draws noise from seeds, in arrays of the engine's kind and at the latent's place."""

    def starting(self, like: Array, seed: int, batch_index: Sequence[int] | None = None) -> Array:
        """Return what a course starts from: drawn on the CPU, for the whole batch at once.

        With `batch_index` each picture gets the noise of its place in the batch that it is from.
        """

    def steps(self, seed: int, like: Array) -> Draw:
        """Return a stream of the noise that some samplers add after each step."""

    def brownian(self, seed: int, like: Array, low: float, high: float, *, on_cpu: bool) -> Between:
        """Return unit noise between two levels: increments of one Brownian path."""


def every_place(draw: Draw, batch_index: Sequence[int]) -> list[Array]:
    """Return the noise of each place of a batch: drawn in order, also those not asked for."""
    drawn = [draw() for _ in range(max(batch_index) + 1)]
    return [drawn[place] for place in batch_index]
