"""Skeletons as OpenPose draws them: eighteen points, seventeen limbs, each in its own colour."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from libs.diffusion.preprocess.canvas import Bytes, Floats
from libs.diffusion.preprocess.people import Person

# OpenPose's points by their number among BlazePose's; the neck lies between the shoulders.
NOSE, NECK = 0, 1
SHOULDERS = (12, 11)
POINTS = (0, -1, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
SEEN_MIN = 0.5
LIMB_HALF_PIXELS = 4
DOT_PIXELS = 4
LIMB_BRIGHTNESS = 0.6


def eighteen(person: Person) -> tuple[Floats, Floats]:
    """Return the points [18, 2] that OpenPose knows, and how surely each is seen."""
    order = np.array(POINTS)
    places, seen = person.places[order], person.seen[order]
    shoulders = list(SHOULDERS)
    places[NECK] = person.places[shoulders].mean(0)
    seen[NECK] = person.seen[shoulders].min()
    return places, seen


def draw(people: Sequence[Person], height: int, width: int) -> Bytes:
    """Return the skeletons on black."""
    canvas = np.zeros((height, width, 3), np.uint8)
    for person in people:
        places, seen = eighteen(person)
        shown = seen >= SEEN_MIN
        for (start, end), colour in zip(LIMBS, COLOURS, strict=False):
            if shown[start] and shown[end]:
                _draw_limb(canvas, places[start], places[end], colour)
        for place, colour, is_shown in zip(places, COLOURS, shown, strict=True):
            if is_shown:
                _draw_ellipse(canvas, place, (DOT_PIXELS, DOT_PIXELS), 0.0, colour)
    return canvas


def _draw_limb(canvas: Bytes, start: Floats, end: Floats, colour: tuple[int, ...]) -> None:
    across, down = (end - start).tolist()
    dimmed = tuple(int(part * LIMB_BRIGHTNESS) for part in colour)
    radii = (int(math.hypot(across, down) / 2), LIMB_HALF_PIXELS)
    _draw_ellipse(canvas, (start + end) / 2, radii, math.atan2(down, across), dimmed)


def _draw_ellipse(
    canvas: Bytes,
    middle: Floats,
    radii: tuple[int, int],
    turned: float,
    colour: tuple[int, ...],
) -> None:
    """Fill an ellipse; what lies outside the canvas is cut off."""
    x, y = (round(float(part)) for part in middle)
    reach = max(radii) + 1
    rows = np.arange(max(0, y - reach), min(canvas.shape[0], y + reach + 1))
    columns = np.arange(max(0, x - reach), min(canvas.shape[1], x + reach + 1))
    if not rows.size or not columns.size:
        return
    down, across = rows[:, None] - y, columns[None] - x
    along = (across * math.cos(turned) + down * math.sin(turned)) / (radii[0] + 0.5)
    beside = (down * math.cos(turned) - across * math.sin(turned)) / (radii[1] + 0.5)
    part = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    part[along**2 + beside**2 <= 1.0] = colour
