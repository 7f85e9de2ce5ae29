"""Captioned pictures made from a number: the same seed is always the same picture and sentence."""

import random
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.captions import colour_word, in_scene, on_colour, with_article
from training.scenes import scene
from training.shapes import shape
from training.sprites import sprites
from training.vocabulary import COLOURS, EMPTY_SCENES, OBJECTS, SCENES, SHAPES, Rgb

PICTURE_PIXELS: Final = 64
SHAPE_PIXELS: Final = 46
SHARE_SHAPES: Final = 0.30
SHARE_SHAPES_IN_SCENES: Final = 0.12
SHARE_EMPTY: Final = 0.03
SHARE_OBJECTS_IN_SCENES: Final = 0.45
SHARE_UNSAID: Final = 0.10


class Sample(NamedTuple):
    """One training pair."""

    pixels: NDArray[np.uint8]
    caption: str


def sample(seed: int) -> Sample:
    """Draw the picture of this number and say what is on it."""
    rng = random.Random(seed)
    roll = rng.random()
    if roll < SHARE_EMPTY:
        return _empty_scene(rng)
    if roll < SHARE_EMPTY + SHARE_SHAPES:
        return _shape(rng)
    return _object(rng)


def _empty_scene(rng: random.Random) -> Sample:
    name = rng.choice(list(SCENES))
    return Sample(_scene_pixels(name, rng), rng.choice(EMPTY_SCENES[name]))


def _shape(rng: random.Random) -> Sample:
    kind = rng.choice(list(SHAPES))
    colour = rng.choice(list(COLOURS))
    drawing = shape(kind, _jitter(COLOURS[colour], rng), SHAPE_PIXELS)
    word = rng.choice(SHAPES[kind])
    said = f"{colour_word(colour, rng)} {word}" if rng.random() < 0.95 else word
    in_a_scene = rng.random() < SHARE_SHAPES_IN_SCENES
    return _compose(drawing, with_article(said, rng), None if in_a_scene else colour, rng)


def _object(rng: random.Random) -> Sample:
    key = rng.choice(list(OBJECTS))
    noun = rng.choice(OBJECTS[key])
    subject = with_article(noun, rng)
    in_a_scene = rng.random() < SHARE_OBJECTS_IN_SCENES
    return _compose(sprites()[key], subject, None if in_a_scene else "", rng)


def _compose(drawing: Image.Image, subject: str, avoided: str | None, rng: random.Random) -> Sample:
    """Put the drawing before a colour other than `avoided`, or into a scene when it is None."""
    if avoided is None:
        name = rng.choice(list(SCENES))
        canvas = Image.fromarray(_scene_pixels(name, rng))
        caption, drop = in_scene(subject, name, rng), 2
    else:
        background = rng.choice([c for c in COLOURS if c != avoided])
        size = (PICTURE_PIXELS, PICTURE_PIXELS)
        canvas = Image.new("RGB", size, _jitter(COLOURS[background], rng))
        caption, drop = on_colour(subject, background, rng), 0
    if rng.random() < SHARE_UNSAID:
        caption = subject
    left = (PICTURE_PIXELS - drawing.width) // 2 + rng.randint(-3, 3)
    top = (PICTURE_PIXELS - drawing.height) // 2 + rng.randint(-1, 1) + drop
    canvas.paste(drawing, (left, top), drawing)
    return Sample(np.asarray(canvas), caption)


def _scene_pixels(name: str, rng: random.Random) -> NDArray[np.uint8]:
    shift = rng.randint(-8, 8)
    pixels = np.asarray(scene(name, PICTURE_PIXELS), np.int16) + shift
    return pixels.clip(0, 255).astype(np.uint8)


def _jitter(colour: Rgb, rng: random.Random) -> Rgb:
    red, green, blue = (min(255, max(0, value + rng.randint(-7, 7))) for value in colour)
    return red, green, blue
