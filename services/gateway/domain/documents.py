"""Names of a user's documents, and how folders of them are listed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar
from urllib.parse import unquote

from libs.core.errors import Forbidden, NotFound, Refused
from libs.graph.literals import flaw_of_text

NAME_CHARACTERS_MAX: Final = 250
FOLDERS_MAX: Final = 16
SETTING_CHARACTERS_MAX: Final = 200
MOVE: Final = "move"


class Named(Protocol):
    """Anything with the full name of a document."""

    @property
    def name(self) -> str:
        """Return folders and name, with slashes between them."""
        ...


N = TypeVar("N", bound=Named)


def segments_after(raw_path: bytes, word: str) -> list[str]:
    """Return the decoded segments of a path after the first segment `word`.

    A slash inside a name comes as %2F, so that only the path as it was sent tells them apart.
    """
    sent = raw_path.partition(b"?")[0].decode("latin-1").split("/")
    try:
        names = [unquote(segment, errors="strict") for segment in sent]
    except UnicodeDecodeError as error:
        raise Refused("the name is no UTF-8", kind="invalid_filename", field="file") from error
    return names[names.index(word) + 1 :] if word in names else []


def document_name(text: str) -> str:
    """Return the name of a document; refuse what leaves the user's own folder."""
    parts = text.split("/")
    if text.startswith(("/", "\\")) or ".." in parts:
        raise Forbidden("this name is not allowed", kind="forbidden_filename", field="file")
    usable = all(part not in ("", ".") for part in parts) and "\\" not in text
    if not (usable and _storable(text, NAME_CHARACTERS_MAX)) or len(parts) > FOLDERS_MAX:
        raise Refused(
            "this name is not allowed",
            kind="invalid_filename",
            field="file",
            characters_max=NAME_CHARACTERS_MAX,
            folders_max=FOLDERS_MAX,
        )
    return text


def folder_name(text: str) -> str:
    """Return a folder in its one spelling; nothing is the user's own folder."""
    trimmed = text.removeprefix("./").strip("/") if not text.startswith("/") else text
    return "" if trimmed in ("", ".") else document_name(trimmed)


def setting_name(text: str) -> str:
    """Return the id of a setting."""
    if not text or not _storable(text, SETTING_CHARACTERS_MAX):
        raise Refused(
            "the id of a setting has 1 to 200 printable characters",
            kind="invalid_setting",
            field="id",
            characters_max=SETTING_CHARACTERS_MAX,
        )
    return text


def workflow_name(text: str) -> str:
    """Return the name of a kept workflow."""
    if not text.strip() or not _storable(text, NAME_CHARACTERS_MAX):
        raise Refused(
            "the name of a workflow has 1 to 250 printable characters",
            kind="invalid_name",
            field="name",
            characters_max=NAME_CHARACTERS_MAX,
        )
    return text


def inside(folder: str, documents: Sequence[N], *, recurse: bool) -> list[tuple[str, N]]:
    """Return the documents of a folder by their names in it; NotFound if there is no such folder."""
    prefix = f"{folder}/" if folder else ""
    found = [(item.name[len(prefix) :], item) for item in documents if item.name.startswith(prefix)]
    if folder and not found:
        raise NotFound("There is no such folder", field="dir")
    return [(name, item) for name, item in found if recurse or "/" not in name]


def folders_inside(folder: str, documents: Sequence[N]) -> list[str]:
    """Return the names of the folders right inside a folder, sorted."""
    found = inside(folder, documents, recurse=True)
    return sorted({name.partition("/")[0] for name, _ in found if "/" in name})


def _storable(text: str, characters_max: int) -> bool:
    return len(text) <= characters_max and text.isprintable() and flaw_of_text(text) is None
