"""Training pictures come from numbers, and their captions from the vocabulary."""

import random

import numpy as np
import pytest

from training.captions import in_scene, on_colour, with_article
from training.pictures import PICTURE_PIXELS, sample
from training.scenes import scene
from training.shapes import mask, shape
from training.sheet import sentences
from training.sprites import SPRITE_PIXELS, sprites
from training.vocabulary import COLOURS, OBJECTS, SCENES, SHAPES, object_names


def test_the_same_seed_gives_the_same_picture_and_caption():
    for seed in range(40):
        first, second = sample(seed), sample(seed)
        assert first.caption == second.caption
        assert np.array_equal(first.pixels, second.pixels)


def test_different_seeds_give_different_pictures():
    pictures = {sample(seed).pixels.tobytes() for seed in range(200)}
    assert len(pictures) > 190


def test_pictures_are_square_rgb_of_the_native_size():
    assert sample(0).pixels.shape == (PICTURE_PIXELS, PICTURE_PIXELS, 3)
    assert sample(0).pixels.dtype == np.uint8


def test_every_object_shape_colour_and_scene_is_met_in_training():
    captions = " ".join(sample(seed).caption for seed in range(6000))
    wanted = [*SHAPES, *COLOURS, *object_names(), *(words[0] for words in SCENES.values())]
    assert [word for word in wanted if word not in captions] == []


def test_every_object_has_a_drawing_that_fills_its_square():
    assert list(sprites()) == list(OBJECTS)
    for drawing in sprites().values():
        left, top, right, bottom = drawing.getbbox() or (0, 0, 0, 0)
        assert max(right - left, bottom - top) >= SPRITE_PIXELS - 2


def test_no_two_objects_look_alike():
    drawings = {drawing.tobytes() for drawing in sprites().values()}
    assert len(drawings) == len(OBJECTS)


@pytest.mark.parametrize("kind", list(SHAPES))
def test_a_shape_is_of_its_colour_and_unlike_the_others(kind):
    drawing = np.asarray(shape(kind, (1, 2, 3), 40))
    assert (drawing[drawing[..., 3] > 0][:, :3] == (1, 2, 3)).all()
    others = [mask(other, 40).tobytes() for other in SHAPES if other != kind]
    assert mask(kind, 40).tobytes() not in others


def test_scenes_differ_from_each_other():
    assert len({scene(name, 64).tobytes() for name in SCENES}) == len(SCENES)


def test_an_article_fits_its_noun():
    owls = {with_article("owl", random.Random(seed)) for seed in range(80)}
    assert owls == {"owl", "the owl", "an owl"}
    circles = {with_article("red circle", random.Random(seed)) for seed in range(80)}
    assert circles == {"red circle", "the red circle", "a red circle"}


def test_a_caption_names_background_and_scene():
    said = {on_colour("a fox", "orange", random.Random(seed)) for seed in range(80)}
    assert {"a fox on orange", "a fox on an orange background", "a fox, orange background"} <= said
    assert all(line.startswith("a fox") and "orange" in line for line in said)
    scenes = {in_scene("a fox", "snow", random.Random(seed)) for seed in range(80)}
    assert {"a fox in the snow", "a fox, in the snow", "a fox in winter"} <= scenes


def test_the_sheet_has_forty_sentences_about_known_things():
    things = [*object_names(), *SHAPES, "moon"]
    assert len(sentences()) == len(set(sentences())) == 40
    assert [line for line in sentences() if not any(thing in line for thing in things)] == []
