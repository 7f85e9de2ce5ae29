"""Frames: pictures as bytes, the one form that all encoders take."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    # Gateway and validator read the node types and have no use for arrays.
    import numpy as np
    from numpy.typing import NDArray

# [height, width, 3] or, with alpha, [height, width, 4].
Pixels: TypeAlias = "NDArray[np.uint8]"
