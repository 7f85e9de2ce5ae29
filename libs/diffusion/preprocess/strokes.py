"""Scribbles: white strokes on black, out of drawings, photographs and soft edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from libs.diffusion.preprocess.canvas import Bytes, Floats

DARK = 127
FINE_PIXELS, COARSE_PIXELS = 0.5, 5.0
STROKE_PIXELS = 3.0
STROKE_BYTES_MIN = 4
# A ridge is as high as its neighbours along one of four lines.
LINES = (
    np.array([[0, 0, 0], [1, 1, 1], [0, 0, 0]], bool),
    np.array([[0, 1, 0], [0, 1, 0], [0, 1, 0]], bool),
    np.eye(3, dtype=bool),
    np.eye(3, dtype=bool)[::-1],
)
# How many deviations a bell reaches to each side.
REACH_FLOATS, REACH_BYTES = 4, 3


def of_drawing(frame: Bytes) -> Bytes:
    """Return what is dark in a drawing."""
    return _white(frame.min(-1) < DARK)


def of_photograph(frame: Bytes, threshold: int) -> Bytes:
    """Return where a picture is darker than its surroundings, by two bells' difference (XDoG)."""
    planes = frame.astype(np.float32)
    darker = _blurred(planes, COARSE_PIXELS, REACH_FLOATS) - _blurred(
        planes, FINE_PIXELS, REACH_FLOATS
    )
    marked = (255 - darker.min(-1)).clip(0, 255).astype(np.uint8)
    return _white(2.0 * (255.0 - marked.astype(np.float32)) > threshold)


def of_edges(edges: Bytes) -> Bytes:
    """Return soft edges [height, width] as strokes of one width."""
    soft = _blurred(edges.astype(np.float32), STROKE_PIXELS, REACH_FLOATS)
    ridge = np.zeros(soft.shape, bool)
    for line in LINES:
        ridge |= ndimage.maximum_filter(soft, footprint=line, mode="nearest") == soft
    thin = np.where(ridge & (soft > DARK), np.float32(255), np.float32(0))
    thick = np.rint(_blurred(thin, STROKE_PIXELS, REACH_BYTES))
    return _white(thick > STROKE_BYTES_MIN)


def _blurred(planes: Floats, pixels: float, reach: int) -> Floats:
    axes = (0, 1)
    blurred: Floats = ndimage.gaussian_filter(
        planes, pixels, mode="mirror", axes=axes, radius=round(pixels * reach)
    )
    return blurred


def _white(where: NDArray[np.bool_]) -> Bytes:
    return where.astype(np.uint8) * 255
