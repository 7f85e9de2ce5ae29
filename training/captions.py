"""Sentences for pictures, phrased in the ways people type them."""

import random

from training.vocabulary import BACKGROUNDS, COLOUR_WORDS, SCENES


def with_article(noun: str, rng: random.Random) -> str:
    """Put an article before a noun, or now and then none."""
    roll = rng.random()
    if roll < 0.2:
        return noun
    if roll < 0.25:
        return f"the {noun}"
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def colour_word(colour: str, rng: random.Random) -> str:
    """Return a word for a colour."""
    return rng.choice(COLOUR_WORDS.get(colour, (colour,)))


def on_colour(subject: str, background: str, rng: random.Random) -> str:
    """Say that the subject stands before a plain colour."""
    phrase = rng.choice(BACKGROUNDS)
    word = colour_word(background, rng)
    if word == "orange":
        phrase = phrase.replace(" a {}", " an {}")
    return subject + phrase.format(word)


def in_scene(subject: str, scene: str, rng: random.Random) -> str:
    """Say that the subject stands in a scene."""
    joint = ", " if rng.random() < 0.08 else " "
    return subject + joint + rng.choice(SCENES[scene])
