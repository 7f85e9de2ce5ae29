"""Names of kept files: a prefix with placeholders becomes a folder and a stem.

Everything here is a pure function: the clock is an argument, and who counts is the context.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from libs.core.errors import Refused

PREFIX_CHARACTERS_MAX = 255
PART_BYTES_MAX = 180
FOLDERS_MAX = 8
COUNTER_MAX = 99_999_999
# Control characters, and what some file system or shell takes for something else.
FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
NUMBERED = re.compile(r"(?P<stem>.+)_(?P<counter>\d{5,})_\.[^.]+", re.DOTALL)
PLACEHOLDER = re.compile(r"%(\w+)%")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What placeholders stand for."""

    now: datetime
    width: int = 0
    height: int = 0
    batch_number: int = 0

    def by_placeholder(self) -> dict[str, str]:
        """Return the replacement of each placeholder, without its percent signs."""
        return {
            "width": str(self.width),
            "height": str(self.height),
            "batch_num": str(self.batch_number),
            "year": str(self.now.year),
            "month": f"{self.now.month:02}",
            "day": f"{self.now.day:02}",
            "hour": f"{self.now.hour:02}",
            "minute": f"{self.now.minute:02}",
            "second": f"{self.now.second:02}",
        }


class Place(NamedTuple):
    """Where a prefix leads: a folder ("" for the top) and the start of the names in it."""

    subfolder: str
    stem: str


def place(prefix: str, facts: Facts) -> Place:
    """Return where files with that prefix go; raise Refused if it leads out of the folder."""
    if len(prefix) > PREFIX_CHARACTERS_MAX:
        raise _refused("the file name prefix is too long", prefix, PREFIX_CHARACTERS_MAX)
    known = facts.by_placeholder()
    expanded = PLACEHOLDER.sub(lambda found: known.get(found[1], found[0]), prefix)
    *folders, stem = expanded.split("/")
    if len(folders) > FOLDERS_MAX:
        raise _refused("the file name prefix has too many folders", prefix, FOLDERS_MAX)
    for part in (*folders, stem):
        _require_plain(part, prefix)
    return Place("/".join(folders), stem)


def numbered(stem: str, counter: int, extension: str) -> str:
    """Return the name of the file with that number, as ComfyUI writes it."""
    if not 0 < counter <= COUNTER_MAX:
        raise Refused("there are too many files of that name", stem=stem, maximum=COUNTER_MAX)
    return f"{stem}_{counter:05}_.{extension}"


def counter_of(filename: str, stem: str) -> int:
    """Return the number in a name made by `numbered` for that stem, 0 if it is not one."""
    found = NUMBERED.fullmatch(filename)
    return int(found["counter"]) if found and found["stem"] == stem else 0


def _require_plain(part: str, prefix: str) -> None:
    if not part or part != part.strip() or part.strip(".") == "":
        raise _refused("a part of the file name prefix is empty or leads elsewhere", prefix)
    if FORBIDDEN.search(part):
        raise _refused("the file name prefix holds a character that names cannot have", prefix)
    if len(part.encode("utf-8", "surrogatepass")) > PART_BYTES_MAX:
        raise _refused("a part of the file name prefix is too long", prefix, PART_BYTES_MAX)
    if any("\ud800" <= character <= "\udfff" for character in part):
        raise _refused("the file name prefix is not valid text", prefix)


def _refused(message: str, prefix: str, maximum: int | None = None) -> Refused:
    facts: dict[str, object] = {} if maximum is None else {"maximum": maximum}
    facts |= {"field": "filename_prefix", "received": prefix[:PREFIX_CHARACTERS_MAX]}
    return Refused(message, kind="", status=0, **facts)
