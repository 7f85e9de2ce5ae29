"""What a sampler walks with, and the splits and scales that many samplers share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Final, Protocol, TypeAlias

import numpy as np

from libs.sampling.levels import Array, Levels, single
from libs.sampling.noise import Between, Draw, NoiseSource

# A flow's highest level holds no signal at all: its logarithm is taken a little below.
SHORT_OF_NOISE: Final = 1e-4


# Brings a latent to other sides, in cells, by one of the ways to scale latents.
Resize: TypeAlias = Callable[[Array, str, tuple[int, int]], Array]


class Denoise(Protocol):
    """Returns the picture seen in `x` at a level."""

    def __call__(self, x: Array, sigma: float) -> Array:
        """Return what is seen, guidance included."""

    def both(self, x: Array, sigma: float) -> tuple[Array, Array]:
        """Return what is seen, and what is seen without the text."""


@dataclass(frozen=True, kw_only=True)
class Trail:
    """The levels to walk down, and whom to ask on the way."""

    denoise: Denoise
    sigmas: Sequence[float]
    levels: Levels
    noise: NoiseSource
    seed: int
    begin: Callable[[], None] = lambda: None
    resize: Resize | None = None

    def steps(self) -> Iterator[tuple[float, float]]:
        """Return each step, from which level to which, and tell that it begins."""
        for step in pairwise(self.sigmas):
            self.begin()
            yield step

    def draws(self, x: Array) -> Draw:
        """Return the stream of noise that is added after steps."""
        return self.noise.steps(self.seed, x)

    def brownian(self, x: Array, *, on_cpu: bool) -> Between:
        """Return noise that fits together however a stretch of levels is divided."""
        low = min(sigma for sigma in self.sigmas if sigma > 0)
        return self.noise.brownian(self.seed, x, low, max(self.sigmas), on_cpu=on_cpu)

    def short_of_noise(self) -> Trail:
        """Return it with a first level that has a signal."""
        first = self.sigmas[0]
        if not self.levels.is_flow or first < 1 or len(self.sigmas) < 2:  # noqa: PLR2004
            return self
        return replace(self, sigmas=[self.levels.sigma_at(SHORT_OF_NOISE), *self.sigmas[1:]])

    def signal(self, sigma: float) -> float:
        """Return how much of the picture is left at a level (alpha)."""
        return 1.0 - sigma if self.levels.is_flow else 1.0

    def log_snr(self, sigma: float) -> float:
        """Return half the logarithm of the signal over the noise (lambda)."""
        if sigma == 0:
            return math.inf
        signal = self.signal(sigma)
        return float(single(np.log, signal / sigma)) if signal > 0 else -math.inf

    def level(self, log_snr: float) -> float:
        """Return the level of `log_snr`."""
        ratio = float(single(np.exp, -log_snr))
        return ratio / (1.0 + ratio) if self.levels.is_flow else ratio

    def part_way(self, here: float, there: float, part: float) -> float:
        """Return the level at a part of the way, in the logarithm; float32 as levels are."""
        start, end = np.float32(self.log_snr(here)), np.float32(self.log_snr(there))
        return self.level(float(start + np.float32(part) * (end - start)))


Walk: TypeAlias = Callable[..., Array]


@dataclass(frozen=True)
class Sampler:
    """A way to step, and what it wants from the course around it.

    `skips_penultimate` takes one level more and leaves the last but one out; `redraws_mask_noise`
    puts the kept part of a masked latent under noise of its own.
    """

    walk: Walk
    skips_penultimate: bool = False
    redraws_mask_noise: bool = False

    def with_options(self, **options: object) -> Sampler:
        """Return it stepping otherwise than by default."""
        return replace(self, walk=partial(self.walk, **options))


@dataclass(frozen=True)
class Split:
    """An ancestral step: down too far, then up again by noise.

    `keep` scales what is there before the noise is added, as a flow wants it.
    """

    down: float
    up: float
    keep: float = 1.0


def split(trail: Trail, here: float, there: float, eta: float = 1.0) -> Split:
    """Return how far down to step, and how much noise brings it up to `there` again."""
    if trail.levels.is_flow:
        return _flow_split(here, there, eta)
    return added_split(here, there, eta)


def added_split(here: float, there: float, eta: float = 1.0) -> Split:
    """Return the split for noise that is added; in float32, since a middle hangs on its bits."""
    if not eta:
        return Split(there, 0.0)
    first, last = np.float32(here), np.float32(there)
    square = last**2 * (first**2 - last**2) / first**2
    up = min(last, np.float32(eta) * np.sqrt(max(square, np.float32(0))))
    return Split(float(np.sqrt(max(last**2 - up**2, np.float32(0)))), float(up))


def _flow_split(here: float, there: float, eta: float) -> Split:
    down = there * (1.0 + (there / here - 1.0) * eta)
    keep = (1.0 - there) / (1.0 - down)
    up = root(there**2 - (down * keep) ** 2)
    return Split(down, up, keep)


def root(square: float) -> float:
    """Return the square root, zero below zero: where levels rise there is no noise to add."""
    return math.sqrt(max(square, 0.0))


def between(here: float, there: float) -> float:
    """Return the level half-way along the logarithm, in float32 as levels are."""
    first, last = (single(np.log, sigma) for sigma in (here, there))
    return float(single(np.exp, last - (last - first) * np.float32(0.5)))


def toward(x: Array, seen: Array, here: float, there: float) -> Array:
    """Follow the straight line from `x` to the picture seen, down to `there`."""
    return x + (x - seen) * ((there - here) / here)
