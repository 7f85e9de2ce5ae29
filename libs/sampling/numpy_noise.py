"""Torch's random numbers of the CPU, without torch: the same seeds give the same noise.

Mersenne Twister, 24 bits a number, and Box and Muller's transform in blocks of sixteen. What
comes out differs from torch's by the last bit of a logarithm and a cosine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from libs.core.errors import Refused
from libs.sampling.levels import Array
from libs.sampling.noise import COMPATIBILITY_CPU_NOISE, SEED_BITS, Between, Draw, every_place

WORDS: Final = 624
MULTIPLIER: Final = 1812433253
WORD_BITS: Final = 0xFFFFFFFF
UNIT: Final = np.float32(1.0 / (1 << 24))
BLOCK: Final = 16
HALF: Final = BLOCK // 2


class TorchStream:
    """The stream of normal numbers that `torch.Generator().manual_seed(seed)` gives."""

    def __init__(self, seed: int) -> None:
        # Torch seeds the twister with the low half alone.
        words = np.zeros(WORDS, np.uint32)
        word = seed & WORD_BITS
        words[0] = word
        for at in range(1, WORDS):
            word = (MULTIPLIER * (word ^ (word >> 30)) + at) & WORD_BITS
            words[at] = word
        self._twister = np.random.MT19937()
        self._twister.state = {
            "bit_generator": "MT19937",
            "state": {"key": words, "pos": WORDS},
        }
        self._left: float | None = None

    def normal(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """Return the next numbers."""
        count = math.prod(shape)
        if count < BLOCK:
            return self._few(count).reshape(shape)
        uniform = self._uniform(count)
        whole = count - count % BLOCK
        drawn = np.empty(count, np.float32)
        drawn[:whole] = _box_muller(uniform[:whole])
        if whole < count:
            # Torch draws the last sixteen anew.
            drawn[-BLOCK:] = _box_muller(self._uniform(BLOCK))
        return drawn.reshape(shape)

    def _uniform(self, count: int) -> NDArray[np.float32]:
        raw = self._twister.random_raw(count).astype(np.uint32)
        return (raw & np.uint32(0xFFFFFF)).astype(np.float32) * UNIT

    def _few(self, count: int) -> NDArray[np.float32]:
        """Return fewer than a block: drawn two at a time in double precision, one kept back."""
        drawn = []
        for _ in range(count):
            if self._left is not None:
                drawn.append(self._left)
                self._left = None
                continue
            first, second = self._double(), self._double()
            radius = math.sqrt(-2.0 * math.log1p(-second))
            angle = 2.0 * math.pi * first
            self._left = radius * math.sin(angle)
            drawn.append(radius * math.cos(angle))
        return np.array(drawn, np.float32)

    def _double(self) -> float:
        high, low = (int(word) for word in self._twister.random_raw(2))
        return (((high << 32) | low) & ((1 << 53) - 1)) * 2.0**-53


class NumpyNoise:
    """Noise as numpy arrays, equal to torch's of the CPU."""

    def __init__(self, compatibility: int) -> None:
        self._compatibility = compatibility

    def starting(self, like: Array, seed: int, batch_index: Sequence[int] | None = None) -> Array:
        """Return what a course starts from."""
        stream = TorchStream(seed)
        if batch_index is None:
            return stream.normal(like.shape)
        one = (1, *like.shape[1:])
        return np.concatenate(every_place(lambda: stream.normal(one), batch_index))

    def steps(self, seed: int, like: Array) -> Draw:
        """Return a stream of the noise that some samplers add after each step."""
        shifted = self._compatibility >= COMPATIBILITY_CPU_NOISE
        stream = TorchStream((seed + int(shifted)) & SEED_BITS)
        return lambda: stream.normal(like.shape)

    def brownian(
        self,
        seed: int,  # noqa: ARG002
        like: Array,  # noqa: ARG002
        low: float,  # noqa: ARG002
        high: float,  # noqa: ARG002
        *,
        on_cpu: bool,  # noqa: ARG002
    ) -> Between:
        """Refuse: the path of these samplers is torch's own, another gives other pictures."""
        raise Refused("samplers with Brownian noise need the torch engine", field="sampler_name")


def _box_muller(uniform: NDArray[np.float32]) -> NDArray[np.float32]:
    blocks = uniform.reshape(-1, BLOCK)
    radius = np.sqrt(np.float32(-2) * np.log(np.float32(1) - blocks[:, :HALF]))
    angle = np.float32(2 * math.pi) * blocks[:, HALF:]
    pairs: NDArray[np.float32] = np.concatenate(
        [radius * np.cos(angle), radius * np.sin(angle)], axis=1
    )
    return pairs.reshape(-1)
