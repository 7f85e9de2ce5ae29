"""What a node shows, taken apart: stored files by kind, and the rest that is sealed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.core.jsonvalue import Json, JsonObject

# Clients know pictures as "images"; outputs are named in the singular.
KINDS: Final[Mapping[str, str]] = {"images": "image"}
# Where a node belongs that an expansion made.
PLACE: Final = ("display_node", "parent_node", "real_node")
Name = tuple[str, str, str]


def name_of(entry: Json) -> Name | None:
    """Return folder, subfolder and file name of an entry, if it is a file."""
    if not isinstance(entry, dict):
        return None
    parts = (entry.get("type"), entry.get("subfolder"), entry.get("filename"))
    return parts if all(isinstance(part, str) for part in parts) else None  # type: ignore[return-value]


def taken_apart(
    ui: JsonObject, stored: frozenset[Name]
) -> tuple[list[tuple[str, Name]], JsonObject]:
    """Return the stored files that `ui` shows, each with its kind, and what else it shows."""
    files: list[tuple[str, Name]] = []
    rest: JsonObject = {}
    for key, value in ui.items():
        entries = value if isinstance(value, list) else [value]
        names = [name_of(entry) for entry in entries]
        if entries and all(name in stored for name in names):
            files.extend((KINDS.get(key, key), name) for name in names if name is not None)
        else:
            rest[key] = value
    return files, rest


def placed(facts: JsonObject, *but: str) -> dict[str, str]:
    """Return which node news is of, and where it belongs if an expansion made it."""
    names = ("node_id", *PLACE)
    return {name: str(facts[name]) for name in names if name in facts and name not in but}
