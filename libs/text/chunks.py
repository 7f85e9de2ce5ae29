"""Texts of any length as chunks of 77 tokens, each with a start and an end mark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from libs.text.segments import segments
from libs.text.tokenizer import END, START

CHUNK = 77
# Segments of that many tokens may be cut at a chunk's end; shorter ones move on whole.
CUTTABLE = 8


@dataclass(frozen=True)
class Token:
    """A token and its weight."""

    id: int
    weight: float = 1.0


Chunk = tuple[Token, ...]


def chunks(text: str, tokenize: Callable[[str], list[int]], pad: int) -> list[Chunk]:
    """Return a weighted text as chunks; the empty text is one chunk."""
    full: list[list[Token]] = []
    current: list[Token] = []
    room = CHUNK - 2
    for segment in segments(text):
        rest = [Token(number, segment.weight) for number in tokenize(segment.text)]
        cuttable = len(rest) >= CUTTABLE
        while len(rest) > room - len(current):
            free = room - len(current)
            if cuttable:
                current, rest = current + rest[:free], rest[free:]
            full.append(current)
            current = []
        current = current + rest
    return [_framed(tokens, pad) for tokens in [*full, current]]


def empty_chunk(pad: int) -> Chunk:
    """Return the chunk of the empty text."""
    return _framed([], pad)


def _framed(tokens: list[Token], pad: int) -> Chunk:
    framed = [Token(START), *tokens, Token(END)]
    return tuple(framed + [Token(pad)] * (CHUNK - len(framed)))
