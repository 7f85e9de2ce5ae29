"""Numpy's noise, with Brownian paths that are not torch's but paths all the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from libs.sampling.numpy_noise import NumpyNoise, TorchStream


class PathNoise(NumpyNoise):
    """Draws paths where they are asked for, between what is known already."""

    def brownian(self, seed, like, low, high, *, on_cpu) -> Any:
        path = _Path(TorchStream(seed), like.shape, low, high)

        def between(here: float, there: float) -> Any:
            moved = path.at(there) - path.at(here)
            return moved / np.float32(abs(there - here) ** 0.5)

        return between


class _Path:
    """A Brownian path, drawn where it is asked for, between what is known already."""

    def __init__(self, stream: TorchStream, shape: Sequence[int], low: float, high: float) -> None:
        self._stream, self._shape = stream, shape
        end = stream.normal(shape) * np.float32((high - low) ** 0.5)
        self._known = {low: np.zeros_like(end), high: end}

    def at(self, time: float) -> NDArray[np.float32]:
        if time in self._known:
            return self._known[time]
        before = [known for known in self._known if known < time]
        after = [known for known in self._known if known > time]
        spread = self._stream.normal(self._shape)
        place: NDArray[np.float32]
        if not before or not after:
            nearest = min(after) if after else max(before)
            place = self._known[nearest] + spread * np.float32(abs(time - nearest) ** 0.5)
        else:
            start, end = max(before), min(after)
            share = (time - start) / (end - start)
            first, last = self._known[start], self._known[end]
            deviation = ((time - start) * (end - time) / (end - start)) ** 0.5
            place = first + (last - first) * np.float32(share) + spread * np.float32(deviation)
        self._known[time] = place
        return place
