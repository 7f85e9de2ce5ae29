"""The six scenes: always the same drawing, so that a small model can learn them by heart."""

from functools import cache
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from training.vocabulary import Rgb

HORIZON: Final = 40
STARS: Final = ((6, 8), (20, 5), (34, 10), (8, 26), (57, 30), (4, 46), (60, 52), (30, 60), (12, 58))
FLAKES: Final = ((6, 9), (18, 4), (31, 7), (45, 4), (58, 10), (4, 24), (60, 26), (7, 36), (57, 37))
BUBBLES: Final = ((6, 12, 3), (58, 20, 3), (5, 40, 2), (59, 48, 2), (10, 56, 3), (54, 6, 2))


def gradient(top: Rgb, bottom: Rgb, size: int) -> Image.Image:
    """Return a sky: one colour running into another from top to bottom."""
    weight = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    rows = np.array(top, np.float32) * (1 - weight) + np.array(bottom, np.float32) * weight
    return Image.fromarray(np.broadcast_to(rows, (size, size, 3)).astype(np.uint8))


@cache
def scene(name: str, size: int) -> Image.Image:
    """Draw one scene; every number is in 64ths of the picture."""
    unit = size / 64
    picture = gradient(*SKIES[name], size)
    draw = ImageDraw.Draw(picture)
    for top, colour in GROUNDS.get(name, ()):
        draw.rectangle((0, top * unit, size, size), fill=colour)
    if name == "sunset":
        draw.ellipse((48 * unit, 26 * unit, 62 * unit, 40 * unit), fill=(255, 230, 120))
        draw.rectangle((0, HORIZON * unit, size, size), fill=(62, 35, 58))
    if name == "night":
        draw.ellipse((48 * unit, 4 * unit, 60 * unit, 16 * unit), fill=(255, 245, 200))
        for x, y in STARS:
            draw.ellipse((x * unit, y * unit, (x + 2) * unit, (y + 2) * unit), fill=(255, 250, 210))
    if name == "snow":
        for x, y in FLAKES:
            draw.ellipse((x * unit, y * unit, (x + 2) * unit, (y + 2) * unit), fill=(255, 255, 255))
    if name == "underwater":
        for x, y, r in BUBBLES:
            box = ((x - r) * unit, (y - r) * unit, (x + r) * unit, (y + r) * unit)
            draw.ellipse(box, outline=(200, 235, 255))
    return picture


SKIES: Final[dict[str, tuple[Rgb, Rgb]]] = {
    "field": ((105, 175, 245), (205, 232, 255)),
    "night": ((10, 14, 48), (42, 46, 104)),
    "sunset": ((95, 50, 125), (255, 150, 65)),
    "beach": ((115, 200, 250), (205, 238, 255)),
    "snow": ((140, 175, 210), (205, 222, 240)),
    "underwater": ((60, 165, 225), (10, 50, 125)),
}

GROUNDS: Final[dict[str, tuple[tuple[int, Rgb], ...]]] = {
    "field": ((HORIZON, (88, 178, 68)),),
    "beach": ((34, (38, 130, 205)), (44, (242, 216, 150))),
    "snow": ((HORIZON, (250, 251, 255)),),
}
