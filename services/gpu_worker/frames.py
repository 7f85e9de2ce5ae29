"""What agent and engine say to each other: length-prefixed frames of JSON and raw bytes.

A frame is `u32 header length, header, blobs`; the header's `blobs` lists their lengths.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from libs.core.errors import Poisoned
from libs.core.jsonvalue import Json, JsonObject
from libs.nodes.context import OUTPUT_BYTES_MAX, OutputFile

HEADER_BYTES_MAX: Final = 64 * 1024 * 1024
BLOB_BYTES_MAX: Final = OUTPUT_BYTES_MAX
BLOBS_MAX: Final = 64
# The kind of a frame that is no attempt's: the engine is to let go of what it keeps.
FREE: Final = "free"
_LENGTH: Final = struct.Struct(">I")

# An attempt, by its prompt and its number.
Mark: TypeAlias = tuple[str, int]


def mark_of(facts: JsonObject) -> Mark:
    """Return which attempt facts are about; nobody's attempt where they do not say it."""
    attempt = facts.get("attempt")
    return str(facts.get("prompt_id", "")), attempt if isinstance(attempt, int) else 0


@dataclass(frozen=True)
class Frame:
    """One thing said: its kind, its facts, and bytes that go with it."""

    kind: str
    facts: JsonObject = field(default_factory=dict)
    blobs: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """Return the bytes that go over the wire."""
        lengths: JsonObject = {"kind": self.kind, "blobs": [len(blob) for blob in self.blobs]}
        # Half of a surrogate pair is no character, but people's files have it in them.
        header = json.dumps({**self.facts, **lengths}).encode()
        return b"".join((_LENGTH.pack(len(header)), header, *self.blobs))


async def read_frame(reader: asyncio.StreamReader) -> Frame | None:
    """Return the next frame, or None when the other side is gone."""
    try:
        header = await reader.readexactly(_header_length(await reader.readexactly(_LENGTH.size)))
        facts, lengths = _opened(header)
        blobs = [await reader.readexactly(length) for length in lengths]
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return _framed(facts, blobs)


class Link:
    """The engine's end: blocking, read by one thread and written by any."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = connection.makefile("rb")
        self._lock = threading.Lock()

    def send(self, kind: str, facts: JsonObject | None = None, *blobs: bytes) -> None:
        """Say something."""
        data = Frame(kind, facts or {}, blobs).encode()
        with self._lock:
            self._connection.sendall(data)

    def read(self) -> Frame | None:
        """Return the next frame, or None when the agent is gone."""
        try:
            prefix = self._reader.read(_LENGTH.size)
            if len(prefix) < _LENGTH.size:
                return None
            header = self._reader.read(_header_length(prefix))
            facts, lengths = _opened(header)
            return _framed(facts, [self._reader.read(length) for length in lengths])
        except (OSError, ValueError):
            return None


def _header_length(prefix: bytes) -> int:
    (length,) = _LENGTH.unpack(prefix)
    if length > HEADER_BYTES_MAX:
        raise Poisoned("a frame is too long", header_bytes=length)
    return int(length)


def _opened(header: bytes) -> tuple[JsonObject, list[int]]:
    facts = json.loads(header)
    lengths = facts.pop("blobs")
    if len(lengths) > BLOBS_MAX or any(not 0 <= n <= BLOB_BYTES_MAX for n in lengths):
        raise Poisoned("a frame's blobs are too large", blobs=len(lengths))
    return facts, lengths


def _framed(facts: JsonObject, blobs: Sequence[bytes]) -> Frame:
    return Frame(str(facts.pop("kind")), facts, tuple(blobs))


def output_file(frame: Frame) -> OutputFile:
    """Return the file that an engine wants kept."""
    facts = frame.facts
    return OutputFile(
        data=frame.blobs[0],
        extension=str(facts["extension"]),
        mime=str(facts["mime"]),
        filename_prefix=str(facts["filename_prefix"]),
        folder="temp" if facts["folder"] == "temp" else "output",
        width=number(facts["width"]),
        height=number(facts["height"]),
        batch_number=number(facts["batch_number"]),
    )


def number(value: Json) -> int:
    """Return a whole number off the wire; 0 if there is none."""
    return int(value) if isinstance(value, int | float) else 0
