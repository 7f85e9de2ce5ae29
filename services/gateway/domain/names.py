"""File names as clients send them: what is refused, and what an upload is called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from libs.core.errors import Forbidden, Refused
from libs.graph.literals import flaw_of_text
from libs.graph.uploads import FILE_KINDS, FileKind, annotated

NAME_CHARACTERS_MAX: Final = 200
SUBFOLDER_CHARACTERS_MAX: Final = 200
COPIES_MAX: Final = 1_000
# Nodes name files after prefixes that may be longer, and hold more than can be printed.
ASKED_CHARACTERS_MAX: Final = 512
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
SEPARATOR: Final = re.compile(r"[/\\]")


def file_asked_for(filename: str, kind: str, subfolder: str) -> tuple[FileKind, str, str]:
    """Return kind, subfolder and name of a file; refuse everything that points elsewhere."""
    if not filename:
        raise Refused("filename is required", kind="missing_filename", field="filename")
    asked = annotated(filename) if filename.endswith("]") else None
    name, place = (asked.name, str(asked.kind)) if asked else (filename, kind or "output")
    leads_away = name.startswith(("/", "\\")) or ".." in SEPARATOR.split(name)
    if leads_away or not _may_be_asked_for(name):
        raise Refused("this filename is not allowed", kind="invalid_filename", field="filename")
    inner, _, name = name.rpartition("/")
    folders = [_folder(part, usable=_may_be_asked_for(part)) for part in (subfolder, inner)]
    return kind_of(place), "/".join(part for part in folders if part), name


def kind_of(kind: str) -> FileKind:
    """Return the folder that a file is kept in."""
    for known in FILE_KINDS:
        if kind == known:
            return known
    raise Refused(
        f"type must be one of {', '.join(FILE_KINDS)}",
        kind="invalid_type",
        field="type",
        received=kind[:NAME_CHARACTERS_MAX],
    )


def folder_of(subfolder: str) -> str:
    """Return a subfolder of uploads in its one spelling; Forbidden when it leaves its root."""
    return _folder(subfolder, usable=_storable(subfolder, SUBFOLDER_CHARACTERS_MAX))


def _folder(subfolder: str, *, usable: bool) -> str:
    parts = subfolder.replace("\\", "/").split("/")
    escapes = subfolder.startswith(("/", "\\")) or ".." in parts or ":" in subfolder
    if escapes or not usable:
        raise Forbidden(
            "this subfolder is not allowed", kind="forbidden_subfolder", field="subfolder"
        )
    return "/".join(part for part in parts if part not in ("", "."))


def upload_name(filename: str) -> str:
    """Return what an uploaded file is called; folders in front of the name are refused."""
    if not filename:
        raise Refused("the image needs a file name", kind="missing_filename", field="image")
    if "/" in filename or "\\" in filename or ".." in filename or not _storable(filename):
        raise Refused(
            "this file name is not allowed",
            kind="invalid_filename",
            field="image",
            characters_max=NAME_CHARACTERS_MAX,
        )
    return filename


def numbered(name: str) -> Iterator[str]:
    """Yield `name`, then `name (1)`, `name (2)` and so on, before the suffix."""
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        stem, dot, suffix = name, "", ""
    yield name
    for copy in range(1, COPIES_MAX):
        yield f"{stem} ({copy}){dot}{suffix}"


def _may_be_asked_for(text: str) -> bool:
    short = len(text) <= ASKED_CHARACTERS_MAX
    return short and CONTROL.search(text) is None and flaw_of_text(text) is None


def _storable(text: str, characters_max: int = NAME_CHARACTERS_MAX) -> bool:
    if len(text) > characters_max or flaw_of_text(text) is not None:
        return False
    return text.isprintable() or not text
