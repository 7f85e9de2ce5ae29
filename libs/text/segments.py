r"""Weights inside a text: `(a:1.2)` sets one, `(a)` adds a tenth, `\(` is a parenthesis."""

from __future__ import annotations

import math
from dataclasses import dataclass

from libs.core.errors import Refused

EMPHASIS = 1.1
DEPTH_MAX = 64
_ESCAPED = {"\\(": "\0", "\\)": "\1"}
_LITERAL = {"\0": "(", "\1": ")"}


@dataclass(frozen=True)
class Segment:
    """A piece of text that weighs the same throughout."""

    text: str
    weight: float


def segments(text: str) -> list[Segment]:
    """Split a text where its weight changes."""
    for escape, mark in _ESCAPED.items():
        text = text.replace(escape, mark)
    return [Segment(_literal(piece.text), piece.weight) for piece in _split(text, 1.0, 0)]


def _split(text: str, weight: float, depth: int) -> list[Segment]:
    if depth > DEPTH_MAX:
        raise Refused("parentheses are nested too deeply", field="text", maximum=DEPTH_MAX)
    found: list[Segment] = []
    for piece in _outermost(text):
        if piece.startswith("(") and piece.endswith(")"):
            inner, inner_weight = _group_weight(piece[1:-1], weight)
            found += _split(inner, inner_weight, depth + 1)
        else:
            found.append(Segment(piece, weight))
    return found


def _outermost(text: str) -> list[str]:
    """Cut a text before and after each outermost group; what is never closed is a word."""
    pieces: list[str] = []
    depth = begin = 0
    for at, character in enumerate(text):
        if character == "(":
            if depth == 0:
                pieces.append(text[begin:at])
                begin = at
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                pieces.append(text[begin : at + 1])
                begin = at + 1
    return [piece for piece in (*pieces, text[begin:]) if piece]


def _group_weight(group: str, weight: float) -> tuple[str, float]:
    inner, colon, number = group.rpartition(":")
    given = _finite(number) if colon and inner else None
    # A colon in plain words sets no weight.
    return (group, weight * EMPHASIS) if given is None else (inner, given)


def _finite(number: str) -> float | None:
    try:
        value = float(number)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _literal(text: str) -> str:
    for mark, character in _LITERAL.items():
        text = text.replace(mark, character)
    return text
