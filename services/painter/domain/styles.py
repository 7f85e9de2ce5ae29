"""Styles: words of ours around the words of a person, and the negatives that go without saying."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from libs.core.jsonvalue import JsonObject

FOLDER: Final = Path(__file__).parents[1]
NONE: Final = "none"
SLOT: Final = "{prompt}"


@dataclass(frozen=True)
class StyleLora:
    """An adapter that helps a style where the fleet has a file whose name holds all words."""

    words: tuple[str, ...]
    strength: float


@dataclass(frozen=True)
class Style:
    """One style as people choose it."""

    name: str
    title: str
    description: str
    positive: str
    negative: str
    lora: StyleLora | None = None

    def around(self, prompt: str) -> str:
        """Return a person's words with the style's."""
        return self.positive.replace(SLOT, prompt)

    def against(self, negative: str) -> str:
        """Return what is to be avoided, the style's words first."""
        return ", ".join(part for part in (self.negative, negative) if part)

    @property
    def characters(self) -> int:
        """Return how many characters the style adds to a text."""
        return len(self.positive) - len(SLOT)


@dataclass(frozen=True)
class Negatives:
    """What is avoided when nobody says otherwise."""

    version: str
    text: str


@cache
def styles() -> Mapping[str, Style]:
    """Return all styles by their names, in their order."""
    listed = json.loads((FOLDER / "styles.json").read_text(encoding="utf-8"))
    return MappingProxyType({item["name"]: _style(item) for item in listed})


@cache
def negatives() -> Negatives:
    """Return the quality negatives."""
    return Negatives(**json.loads((FOLDER / "negatives.json").read_text(encoding="utf-8")))


def _style(item: JsonObject) -> Style:
    lora = item.get("lora")
    made = None
    if isinstance(lora, dict) and isinstance(lora["words"], list):
        made = StyleLora(tuple(map(str, lora["words"])), float(str(lora["strength"])))
    texts = {name: str(value) for name, value in item.items() if name != "lora"}
    return Style(**texts, lora=made)
