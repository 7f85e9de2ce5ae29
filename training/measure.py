"""Measures a checkpoint against the drawings it learned from: `python -m training.measure --help`."""

import argparse
import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from training.export import FOLDER, NAME
from training.generate import GUIDANCE, STEPS, Painter
from training.loop import say
from training.pictures import PICTURE_PIXELS, SHAPE_PIXELS, sample
from training.scenes import scene
from training.shapes import shape
from training.sprites import sprites
from training.vocabulary import COLOURS, OBJECTS, SCENES, SHAPES, Rgb

SEED: Final = 5
SHAPE_PROMPTS: Final = 110
OBJECT_ROUNDS: Final = 3
UNSEEN_SEED: Final = 90_000_000
CODEC_PICTURES: Final = 128
PAINTED_AT_ONCE: Final = 17
BORDER_PIXELS: Final = 4
# The middle of a ring or a crescent is background, so they say nothing about the shape's colour.
HOLLOW: Final = ("ring", "crescent")

Pixels = NDArray[np.uint8]


class Asked(NamedTuple):
    """A sentence and what must be seen when it is painted."""

    sentence: str
    thing: str
    colour: str | None
    background: str


def shape_prompts(rng: random.Random) -> Iterator[Asked]:
    """Ask for shapes on colours, every shape and colour equally often."""
    kinds, colours = list(SHAPES), list(COLOURS)
    for index in range(SHAPE_PROMPTS):
        kind, colour = kinds[index % len(kinds)], colours[index % len(colours)]
        background = rng.choice([other for other in colours if other != colour])
        sentence = f"a {colour} {kind} on a {background} background"
        yield Asked(sentence, kind, colour, background)


def object_prompts(rng: random.Random) -> Iterator[Asked]:
    """Ask for every object on a few colours."""
    for _ in range(OBJECT_ROUNDS):
        for key, words in OBJECTS.items():
            background = rng.choice(list(COLOURS))
            yield Asked(f"a {words[0]} on a {background} background", key, None, background)


def scene_prompts(rng: random.Random) -> Iterator[Asked]:
    """Ask for every object in one scene."""
    for key, words in OBJECTS.items():
        name = rng.choice(list(SCENES))
        yield Asked(f"a {words[0]} {SCENES[name][0]}", key, None, name)


def nearest_colour(pixels: NDArray[np.uint8]) -> str:
    """Name the colour of some pixels: the median, then the closest of ours."""
    median = np.median(pixels.reshape(-1, 3), axis=0)
    distances = {name: ((median - np.array(rgb)) ** 2).sum() for name, rgb in COLOURS.items()}
    return min(distances, key=lambda name: float(distances[name]))


def border(picture: Pixels) -> Pixels:
    """Return the pixels along the four edges."""
    edge = BORDER_PIXELS
    sides = (picture[:edge], picture[-edge:], picture[:, :edge], picture[:, -edge:])
    return np.concatenate([side.reshape(-1, 3) for side in sides])


def middle(picture: Pixels) -> Pixels:
    """Return the pixels in the centre."""
    return picture[28:36, 28:36]


def nearest_drawing(
    picture: Pixels, canvas: Image.Image, drawings: Mapping[str, Image.Image], drop: int
) -> str:
    """Name the drawing that, put on the canvas where training puts it, is most like the picture."""
    errors = {}
    for name, drawing in drawings.items():
        left = (PICTURE_PIXELS - drawing.width) // 2
        top = (PICTURE_PIXELS - drawing.height) // 2 + drop
        errors[name] = min(
            _error(picture, canvas, drawing, (left + x, top + y))
            for x in range(-3, 4)
            for y in (-1, 0, 1)
        )
    return min(errors, key=lambda name: errors[name])


def _error(
    picture: Pixels, canvas: Image.Image, drawing: Image.Image, corner: tuple[int, int]
) -> float:
    candidate = canvas.copy()
    candidate.paste(drawing, corner, drawing)
    return float(((np.asarray(candidate, np.float32) - picture) ** 2).mean())


def plain(colour: Rgb) -> Image.Image:
    """Return a canvas of one colour."""
    return Image.new("RGB", (PICTURE_PIXELS, PICTURE_PIXELS), colour)


def painted(painter: Painter, asked: Iterable[Asked]) -> Iterator[tuple[Asked, Pixels]]:
    """Paint what is asked, a few at a time."""
    todo = list(asked)
    for start in range(0, len(todo), PAINTED_AT_ONCE):
        some = todo[start : start + PAINTED_AT_ONCE]
        sentences = [one.sentence for one in some]
        yield from zip(some, painter.paint(sentences, SEED + start), strict=True)


def measure(painter: Painter) -> dict[str, float]:
    """Return the share of pictures in which each thing is right."""
    rng = random.Random(SEED)
    right: dict[str, list[bool]] = {}
    for asked, picture in painted(painter, shape_prompts(rng)):
        _note(right, "background_colour", nearest_colour(border(picture)) == asked.background)
        if asked.thing not in HOLLOW:
            _note(right, "shape_colour", nearest_colour(middle(picture)) == asked.colour)
        colour = COLOURS[asked.colour or "gray"]
        drawings = {kind: shape(kind, colour, SHAPE_PIXELS) for kind in SHAPES}
        found = nearest_drawing(picture, plain(COLOURS[asked.background]), drawings, 0)
        _note(right, "shape", found == asked.thing)
    for asked, picture in painted(painter, object_prompts(rng)):
        _note(right, "background_colour", nearest_colour(border(picture)) == asked.background)
        found = nearest_drawing(picture, plain(COLOURS[asked.background]), sprites(), 0)
        _note(right, "object_on_colour", found == asked.thing)
    for asked, picture in painted(painter, scene_prompts(rng)):
        canvas = scene(asked.background, PICTURE_PIXELS)
        found = nearest_drawing(picture, canvas, sprites(), 2)
        _note(right, "object_in_scene", found == asked.thing)
    return {name: round(sum(notes) / len(notes), 3) for name, notes in right.items()}


@torch.no_grad()
def codec_psnr_db(painter: Painter) -> float:
    """Return how well pictures of unseen seeds come through the codec."""
    pixels = np.stack([sample(UNSEEN_SEED + index).pixels for index in range(CODEC_PICTURES)])
    pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    shown = painter.vae.decode(painter.vae.encode(pictures).latent_dist.mean).sample
    error = (shown.clamp(-1, 1) - pictures).pow(2).mean().item()
    return round(10 * math.log10(4 / error), 1)


def _note(right: dict[str, list[bool]], name: str, verdict: bool) -> None:
    right.setdefault(name, []).append(verdict)


def main() -> None:
    """Read the command line, measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=FOLDER / f"{NAME}.safetensors")
    parser.add_argument("--out", type=Path, default=Path("build/training/measures.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    painter = Painter(arguments.checkpoint)
    figures = measure(painter) | {"codec_psnr_db": codec_psnr_db(painter)}
    say(**figures, steps=STEPS, guidance=GUIDANCE)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
