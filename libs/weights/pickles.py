"""What a pickled weights file would call if it were opened, found without opening it.

A pickle is a program. Only one that builds tensors out of numbers, and calls nothing besides, is
clean; every other name in it is told to the person.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from libs.core.errors import Refused

PICKLES: Final = frozenset({".ckpt", ".pt", ".pth", ".bin"})
PROGRAM_BYTES_MAX: Final = 128 * 1024 * 1024
MEMBERS_MAX: Final = 200_000
# Files of torch before 1.6 begin with so many programs; raw numbers follow.
PROGRAMS_OF_OLD_FILES: Final = 5
STORAGES: Final = [
    "Float",
    "Double",
    "Half",
    "BFloat16",
    "Long",
    "Int",
    "Short",
    "Char",
    "Byte",
    "Bool",
    "ComplexFloat",
    "ComplexDouble",
    "Untyped",
    "Typed",
]
ALLOWED: Final = frozenset(
    {
        "collections.OrderedDict",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        "torch.Size",
        "torch.serialization._get_layout",
        "torch.storage.TypedStorage",
        "torch.storage.UntypedStorage",
        *(f"torch.{kind}Storage" for kind in STORAGES),
        *(
            f"torch.{kind}"
            for kind in [
                "float16",
                "bfloat16",
                "float32",
                "float64",
                "float8_e4m3fn",
                "float8_e5m2",
                "int8",
                "uint8",
                "int16",
                "int32",
                "int64",
                "bool",
                "half",
                "float",
                "double",
                "long",
                "int",
            ]
        ),
    }
)
UNKNOWN: Final = "a name that is only known when it runs"
STRINGS: Final = frozenset(
    {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING"}
    | {"SHORT_BINSTRING"}
)
STORES: Final = frozenset({"BINPUT", "LONG_BINPUT", "PUT"})
FETCHES: Final = frozenset({"BINGET", "LONG_BINGET", "GET"})
# They call what only a table outside of the file names.
EXTENSIONS: Final = frozenset({"EXT1", "EXT2", "EXT4"})


@dataclass(frozen=True)
class Scan:
    """The names that a file calls, those that are not allowed among them."""

    called: frozenset[str]

    @property
    def forbidden(self) -> tuple[str, ...]:
        """Names of what could do more than build tensors."""
        return tuple(sorted(self.called - ALLOWED))

    @property
    def clean(self) -> bool:
        """Say whether opening it can only build tensors."""
        return not self.forbidden


def scan(path: Path) -> Scan:
    """Return what a pickled file would call; raise Refused if it cannot be followed."""
    called: set[str] = set()
    try:
        with path.open("rb") as file:
            for program in _programs(file):
                # What comes before any damage is kept.
                called.update(_names(program))
    except (ValueError, IndexError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        if called - ALLOWED:
            # Damaged or not, what it would have done until there is the better reason.
            return Scan(frozenset(called))
        raise Refused(
            "the file is not one that torch wrote, or damaged", file=path.name, reason=str(error)
        ) from error
    return Scan(frozenset(called))


def require_clean(path: Path) -> None:
    """Raise Refused, with the names, unless opening the file can only build tensors."""
    found = scan(path)
    if not found.clean:
        raise Refused(
            "the file would run code when it is opened: it stays closed",
            file=path.name,
            calls=list(found.forbidden[:8]),
        )


def _programs(file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield each pickle of a file, at its beginning."""
    if not zipfile.is_zipfile(file):
        file.seek(0)
        for _ in range(PROGRAMS_OF_OLD_FILES):
            yield file
        return
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MEMBERS_MAX:
            raise ValueError(f"it has {len(members)} parts where {MEMBERS_MAX} are the most")
        programs = [member for member in members if member.filename.endswith(".pkl")]
        if [Path(member.filename).name for member in programs] != ["data.pkl"]:
            raise ValueError("it does not hold exactly one data.pkl")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("it is compressed")
        if programs[0].file_size > PROGRAM_BYTES_MAX:
            raise ValueError("its data.pkl is too large")
        yield BytesIO(archive.read(programs[0]))


def _names(program: BinaryIO) -> Iterator[str]:
    """Yield every name that a pickle calls, following it without executing it.

    `pushed` are the texts on its stack, as far as they can be the two halves of a name.
    """
    pushed: list[str | None] = []
    kept: dict[int, str | None] = {}
    for opcode, argument, _ in pickletools.genops(program):
        name = opcode.name
        if name in {"GLOBAL", "INST"}:
            yield ".".join(str(argument).split(" "))
            pushed.append(None)
        elif name == "STACK_GLOBAL":
            module, called = pushed[-2:] if len(pushed) > 1 else (None, None)
            yield UNKNOWN if module is None or called is None else f"{module}.{called}"
            pushed.append(None)
        elif name in EXTENSIONS:
            yield UNKNOWN
        elif name in STRINGS:
            pushed.append(argument.decode() if isinstance(argument, bytes) else str(argument))
        elif name == "MEMOIZE":
            kept[len(kept)] = pushed[-1] if pushed else None
        elif name in STORES:
            kept[int(argument or 0)] = pushed[-1] if pushed else None
        elif name in FETCHES:
            pushed.append(kept.get(int(argument or 0)))
        elif name not in {"PROTO", "FRAME"}:
            # Whatever else happens to the stack, a text before it is no half of a name any more.
            pushed.append(None)
