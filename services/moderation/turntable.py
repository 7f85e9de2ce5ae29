"""A solid as pictures from all sides, so that it can be judged like any picture.

It is drawn here, from the very bytes that would be released: what a worker says of them counts
for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from libs.glb import Solid

SIDE_PIXELS: Final = 192
# What the classifier was shown of things in front of white.
BACKGROUND: Final = 235
# Turned about the upright axis, and looked at from a little above and from a little below.
TURNS: Final = 4
TILTS: Final = (math.radians(20), math.radians(-20))
MARGIN: Final = 0.9
# Triangles are cut until they are so small that a dot for each of them leaves no holes.
DOT_PIXELS: Final = 1.6
DOTS_MAX: Final = 1_000_000
SHADE_MIN: Final = 0.35
# Of the curve that screens follow: below this it is a straight line.
STRAIGHT: Final = 0.0031308

Floats = NDArray[np.floating[Any]]


def views_of(solid: Solid) -> list[Image.Image]:
    """Return the solid as it looks from all sides."""
    corners, colours = _dots(solid)
    middles = corners.mean(1)
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing /= np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-12)
    return [_drawn(middles @ turn.T, facing @ turn.T, colours) for turn in _turns()]


def _turns() -> Iterator[Floats]:
    for tilt in TILTS:
        for number in range(TURNS):
            angle = 2 * math.pi * number / TURNS
            across = np.array(
                [
                    [math.cos(angle), 0, math.sin(angle)],
                    [0, 1, 0],
                    [-math.sin(angle), 0, math.cos(angle)],
                ],
                np.float32,
            )
            down = np.array(
                [
                    [1, 0, 0],
                    [0, math.cos(tilt), -math.sin(tilt)],
                    [0, math.sin(tilt), math.cos(tilt)],
                ],
                np.float32,
            )
            yield down @ across


def _dots(solid: Solid) -> tuple[Floats, Floats]:
    """Return small triangles [n, 3, 3] that fill a ball of radius 1, and their colours."""
    places = solid.places.astype(np.float64)
    middle = (places.min(0) + places.max(0)) / 2
    reach = max(float(np.linalg.norm(places - middle, axis=1).max()), 1e-12)
    corners = ((places - middle) / reach).astype(np.float32)[solid.triangles]
    colours = solid.colours.astype(np.float32)[solid.triangles].mean(1)
    largest = DOT_PIXELS / (SIDE_PIXELS / 2 * MARGIN)
    while True:
        sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(1)
        large = sides > largest
        if not large.any() or len(corners) + 3 * int(large.sum()) > DOTS_MAX:
            return corners, colours
        cut = _quartered(corners[large])
        corners = np.concatenate([corners[~large], cut])
        colours = np.concatenate([colours[~large], np.tile(colours[large], (4, 1))])


def _quartered(corners: Floats) -> Floats:
    a, b, c = (corners[:, number] for number in range(3))
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    parts: list[tuple[Floats, ...]] = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.concatenate([np.stack(part, 1) for part in parts])


def _drawn(middles: Floats, facing: Floats, colours: Floats) -> Image.Image:
    """Return dots as they look along z, the nearest on top, brighter where they look ahead."""
    half = SIDE_PIXELS / 2
    columns = (half + middles[:, 0] * half * MARGIN).astype(np.int64).clip(0, SIDE_PIXELS - 1)
    rows = (half - middles[:, 1] * half * MARGIN).astype(np.int64).clip(0, SIDE_PIXELS - 1)
    pixels = rows * SIDE_PIXELS + columns
    # Of equal keys the last one stays: the farthest come first.
    order = np.argsort(middles[:, 2], kind="stable")
    front = np.full(SIDE_PIXELS**2, -1, np.int64)
    front[pixels[order]] = order
    shown = front[front >= 0]
    # Either side of a triangle may be the outer one.
    shade = SHADE_MIN + (1 - SHADE_MIN) * abs(facing[shown, 2:3])
    canvas = np.full((SIDE_PIXELS**2, 3), BACKGROUND, np.uint8)
    canvas[front >= 0] = _as_bytes(colours[shown] * shade)
    return Image.fromarray(canvas.reshape(SIDE_PIXELS, SIDE_PIXELS, 3))


def _as_bytes(linear: Floats) -> NDArray[Any]:
    """Return linear colours as screens show them."""
    light = linear.clip(0, 1)
    curved = np.where(light <= STRAIGHT, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return (curved * 255 + 0.5).astype(np.uint8)
