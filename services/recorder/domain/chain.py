"""The hash chain of the archive: each hash covers everything before it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

GENESIS: Final = bytes(32)
SEQ_BYTES: Final = 8


class Link(Protocol):
    """What the chain covers of one event."""

    @property
    def seq(self) -> int: ...
    @property
    def subject(self) -> str: ...
    @property
    def payload(self) -> bytes: ...


class Archived(Link, Protocol):
    """A link with the hash and the type that were archived for it."""

    @property
    def hash(self) -> bytes: ...
    @property
    def type(self) -> str: ...


@dataclass(frozen=True)
class Tip:
    """Where a chain has come to."""

    seq: int = 0
    hash: bytes = GENESIS


BEGINNING: Final = Tip()


def hash_of(previous: bytes, link: Link) -> bytes:
    """Return sha256(previous || seq || subject || payload), seq as 8 bytes, big end first."""
    return hash_at(previous, link.seq, link)


def hash_at(previous: bytes, seq: int, link: Link) -> bytes:
    """Return the hash of `link` as if it lay at `seq`.

    Subject and payload need no mark between them: a payload begins with a brace, and no subject
    has one in it.
    """
    place = seq.to_bytes(SEQ_BYTES, "big")
    return hashlib.sha256(previous + place + link.subject.encode() + link.payload).digest()


def extend(previous: bytes, links: Iterable[Link]) -> list[bytes]:
    """Return the hashes of links that follow on each other."""
    hashes = []
    for link in links:
        previous = hash_of(previous, link)
        hashes.append(previous)
    return hashes
