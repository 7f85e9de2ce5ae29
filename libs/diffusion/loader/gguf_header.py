"""The head of a GGUF file: what it says of itself, and where each tensor lies.

Every count in it is checked against the length of the file before it is believed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from libs.core.errors import Refused

MAGIC: Final = b"GGUF"
VERSIONS: Final = frozenset({2, 3})
ALIGNMENT_KEY: Final = "general.alignment"
ALIGNMENT_DEFAULT: Final = 32
ALIGNMENT_MAX: Final = 1 << 20
TENSORS_MAX: Final = 100_000
FACTS_MAX: Final = 100_000
ITEMS_MAX: Final = 10_000_000
TEXT_BYTES_MAX: Final = 64 * 1024 * 1024
DIMENSIONS_MAX: Final = 8
TEXT: Final = 8
LIST: Final = 9
PLAIN: Final = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}


class Damaged(Exception):
    """The head does not make sense."""


@dataclass(frozen=True)
class Place:
    """Where a tensor lies; `shape` is in the order of networks, which is not the file's."""

    shape: tuple[int, ...]
    format: int
    offset: int


@dataclass(frozen=True)
class Header:
    """What the file says; offsets count from `data_start`."""

    facts: dict[str, Any]
    places: dict[str, Place]
    data_start: int


def read_header(file: BinaryIO, name: str) -> Header:
    """Return the head of an open file; raise Refused if it is damaged or of another kind."""
    try:
        return _header(_Reader(file))
    except (Damaged, UnicodeDecodeError, MemoryError, OverflowError) as error:
        raise Refused("the weights file is damaged", file=name, reason=str(error)) from error


def _header(reader: _Reader) -> Header:
    if reader.take(4) != MAGIC:
        raise Damaged("it does not begin as a GGUF file does")
    version = reader.number("I")
    if version not in VERSIONS:
        raise Damaged(f"its version is {version}, known are 2 and 3")
    tensors = reader.count(TENSORS_MAX)
    facts = dict(reader.fact() for _ in range(reader.count(FACTS_MAX)))
    places: dict[str, Place] = {}
    for _ in range(tensors):
        name, place = reader.place()
        if name in places:
            raise Damaged(f"it holds two tensors named {name}")
        places[name] = place
    alignment = facts.get(ALIGNMENT_KEY, ALIGNMENT_DEFAULT)
    if not isinstance(alignment, int) or not 0 < alignment <= ALIGNMENT_MAX:
        raise Damaged("its alignment is out of range")
    return Header(facts, places, -(-reader.position // alignment) * alignment)


class _Reader:
    """Reads one thing after another."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.position = 0

    def take(self, size: int) -> bytes:
        found = self._file.read(size)
        if len(found) != size:
            raise Damaged("it ends too early")
        self.position += size
        return found

    def number(self, form: str) -> Any:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(form)))[0]

    def count(self, most: int) -> int:
        found = int(self.number("Q"))
        if found > most:
            raise Damaged(f"it counts {found} where {most} are the most")
        return found

    def text(self) -> str:
        return self.take(self.count(TEXT_BYTES_MAX)).decode()

    def fact(self) -> tuple[str, Any]:
        name = self.text()
        return name, self.value(self.number("I"))

    def value(self, kind: int) -> Any:
        if kind == TEXT:
            return self.text()
        if kind == LIST:
            return self.items()
        if kind not in PLAIN:
            raise Damaged(f"it holds a fact of the unknown kind {kind}")
        return self.number(PLAIN[kind])

    def items(self) -> list[Any]:
        kind, count = self.number("I"), self.count(ITEMS_MAX)
        if kind in PLAIN:
            form = f"<{count}{PLAIN[kind]}"
            return list(struct.unpack(form, self.take(struct.calcsize(form))))
        if kind != TEXT:
            raise Damaged("it holds a list of lists")
        one: Callable[[], str] = self.text
        return [one() for _ in range(count)]

    def place(self) -> tuple[str, Place]:
        name, dimensions = self.text(), self.number("I")
        if dimensions > DIMENSIONS_MAX:
            raise Damaged(f"{name} has {dimensions} dimensions")
        sizes = tuple(self.number("Q") for _ in range(dimensions))
        kind, offset = self.number("I"), self.number("Q")
        return name, Place(sizes[::-1], kind, offset)
