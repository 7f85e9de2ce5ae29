"""Names of uploaded files as clients write them: `a/b.png`, `b.png [output]`."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

FileKind: TypeAlias = Literal["input", "output", "temp"]
FILE_KINDS: Final[tuple[FileKind, ...]] = ("input", "output", "temp")


class Annotated(NamedTuple):
    """A file name and the place it is kept in."""

    name: str
    kind: FileKind


def annotated(name: str) -> Annotated:
    """Split a name from its annotation; without one it is an input."""
    for kind in FILE_KINDS:
        suffix = f" [{kind}]"
        if name.endswith(suffix):
            return Annotated(name[: -len(suffix)], kind)
    return Annotated(name, "input")


def upload_key(name: str) -> str:
    """Return the one spelling of a name: inputs bare, all others with their annotation."""
    plain, kind = annotated(name)
    # An input that is itself called `x [temp]` keeps its annotation, or it would be another file.
    if kind == "input" and annotated(plain) == (plain, "input"):
        return plain
    return f"{plain} [{kind}]"
