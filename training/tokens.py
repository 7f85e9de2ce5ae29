"""CLIP's standard 49,408 tokens in training, where captions use about a hundred of them."""

from collections.abc import Iterable
from functools import cache
from typing import Final

from libs.text.tokenizer import END, START, tokenizer
from training.networks import TEXT_POSITIONS

TOKENS: Final = 49_408


def token_ids(captions: Iterable[str]) -> list[list[int]]:
    """Return the tokens of each caption, without start and end."""
    encode = cache(tokenizer())
    return [encode(caption) for caption in captions]


class CompactVocabulary:
    """The tokens that captions use, numbered from 0, then one for all others, start and end."""

    def __init__(self, known: Iterable[int]) -> None:
        self.known = sorted(set(known) - {START, END})
        self.rows = {token: row for row, token in enumerate(self.known)}
        self.unknown = len(self.known)
        self.start = self.unknown + 1
        self.end = self.unknown + 2
        self.size = self.unknown + 3

    def row(self, token: int) -> int:
        """Return the row of a token in the small embedding."""
        return self.rows.get(token, self.unknown)

    def line(self, rows: list[int]) -> list[int]:
        """Frame rows by start and end and fill up to 77."""
        return framed(rows, self.start, self.end)


def framed(ids: list[int], start: int, end: int) -> list[int]:
    """Frame numbers by start and end and fill up to 77 with the end."""
    line = [start, *ids[: TEXT_POSITIONS - 2], end]
    return line + [end] * (TEXT_POSITIONS - len(line))
