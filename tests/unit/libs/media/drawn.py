"""Frames that move, drawn with nothing but numbers."""

from __future__ import annotations

from typing import Any

import numpy as np


def frame(number: int, height: int = 48, width: int = 64, channels: int = 3) -> Any:
    """Return a soft pattern that moves with its number."""
    y, x = np.mgrid[0:height, 0:width]
    bands = (x * 3 + number * 9, y * 4, x + y + number * 5, np.full_like(x, 128))
    waves = [np.sin(band / 20) * 110 + 128 for band in bands[:channels]]
    return np.stack(waves, axis=-1).astype(np.uint8)


def frames(count: int, **shape: int) -> list[Any]:
    """Return so many of them."""
    return [frame(number, **shape) for number in range(count)]
