"""The ten shapes, drawn in one colour on nothing."""

import math
from collections.abc import Callable
from functools import cache
from typing import Final, TypeAlias

from PIL import Image, ImageDraw

from training.vocabulary import Rgb

SUPERSAMPLING: Final = 4

Points: TypeAlias = list[tuple[float, float]]


def _star() -> Points:
    radii = [0.5 if corner % 2 == 0 else 0.21 for corner in range(10)]
    return [
        (0.5 + r * math.sin(i * math.pi / 5), 0.52 - r * math.cos(i * math.pi / 5))
        for i, r in enumerate(radii)
    ]


def _heart() -> Points:
    points = []
    for step in range(80):
        t = step * 2 * math.pi / 80
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((0.5 + x / 34, 0.46 - y / 34))
    return points


def _hexagon() -> Points:
    return [
        (0.5 + 0.5 * math.cos(i * math.pi / 3), 0.5 + 0.5 * math.sin(i * math.pi / 3))
        for i in range(6)
    ]


POLYGONS: Final[dict[str, Callable[[], Points]]] = {
    "square": lambda: [(0.06, 0.06), (0.94, 0.06), (0.94, 0.94), (0.06, 0.94)],
    "triangle": lambda: [(0.5, 0.05), (0.98, 0.92), (0.02, 0.92)],
    "star": _star,
    "heart": _heart,
    "diamond": lambda: [(0.5, 0), (0.88, 0.5), (0.5, 1), (0.12, 0.5)],
    "hexagon": _hexagon,
}


@cache
def mask(kind: str, side: int) -> Image.Image:
    """Return the coverage of a shape in a square of `side` pixels."""
    size = side * SUPERSAMPLING
    edge = size - 1
    picture = Image.new("L", (size, size))
    draw = ImageDraw.Draw(picture)
    if kind in POLYGONS:
        draw.polygon([(x * edge, y * edge) for x, y in POLYGONS[kind]()], fill=255)
    elif kind == "cross":
        draw.rectangle((size * 0.34, 0, size * 0.66, edge), fill=255)
        draw.rectangle((0, size * 0.34, edge, size * 0.66), fill=255)
    else:
        draw.ellipse((0, 0, edge, edge), fill=255)
        if kind == "ring":
            draw.ellipse((size * 0.27, size * 0.27, size * 0.73, size * 0.73), fill=0)
        if kind == "crescent":
            draw.ellipse((size * 0.3, -size * 0.1, size * 1.15, size * 0.82), fill=0)
    return picture.resize((side, side), Image.Resampling.LANCZOS)


def shape(kind: str, colour: Rgb, side: int) -> Image.Image:
    """Return one shape in one colour, transparent around it."""
    picture = Image.new("RGBA", (side, side), (*colour, 255))
    picture.putalpha(mask(kind, side))
    return picture
