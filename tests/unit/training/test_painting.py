"""The shipped file paints what is asked."""

import numpy as np
import pytest
import torch
from PIL import Image

from training.export import FOLDER, LATENT_SCALE, NAME
from training.generate import Painter
from training.measure import border, middle, nearest_colour, nearest_drawing, plain
from training.pictures import sample
from training.scenes import scene
from training.sprites import sprites
from training.vocabulary import COLOURS, OBJECTS

SHIPPED = FOLDER / f"{NAME}.safetensors"


@pytest.fixture(scope="module")
def painter():
    torch.set_num_threads(1)
    return Painter(SHIPPED)


def test_colours_of_shape_and_background_follow_the_sentence(painter):
    asked = [("red", "circle", "blue"), ("yellow", "square", "purple"), ("white", "heart", "black")]
    lines = [f"a {colour} {shape} on {background}" for colour, shape, background in asked]
    for picture, (colour, _, background) in zip(painter.paint(lines, 3, 12), asked, strict=True):
        assert nearest_colour(middle(picture)) == colour
        assert nearest_colour(border(picture)) == background


def test_objects_are_most_like_their_own_drawing(painter):
    keys = ["panda", "rocket", "red-apple"]
    lines = [f"a {OBJECTS[key][0]} on a pink background" for key in keys]
    canvas = plain(COLOURS["pink"])
    pictures = painter.paint(lines, 3, 12)
    assert [nearest_drawing(picture, canvas, sprites(), 0) for picture in pictures] == keys


def test_words_nobody_taught_it_do_not_spoil_the_picture(painter):
    lines = ["a majestic panda on a pink background, trending, 4k, highly detailed, masterpiece"]
    picture = painter.paint(lines, 3, 12)[0]
    assert nearest_colour(border(picture)) == "pink"
    assert nearest_drawing(picture, plain(COLOURS["pink"]), sprites(), 0) == "panda"


def test_the_same_seed_paints_the_same_picture_and_another_one_another(painter):
    first, again, other = (painter.paint(["a fox"], seed, 4) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_latents_are_of_unit_variance_under_stable_diffusions_scale(painter):
    pixels = np.stack([sample(seed).pixels for seed in range(48)])
    pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        latents = painter.vae.encode(pictures).latent_dist.mean * LATENT_SCALE
    assert latents.std().item() == pytest.approx(1, abs=0.1)
    assert latents.mean().item() == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("key", ["cat-face", "tropical-fish", "banana", "ghost"])
def test_the_measuring_rule_names_the_drawing_on_a_training_picture(key):
    canvas = scene("beach", 64)
    picture = canvas.copy()
    picture.paste(sprites()[key], (10, 9), sprites()[key])
    assert nearest_drawing(np.asarray(picture), canvas, sprites(), 2) == key


def test_the_measuring_rule_names_every_colour():
    for name, colour in COLOURS.items():
        assert nearest_colour(np.asarray(Image.new("RGB", (4, 4), colour))) == name
