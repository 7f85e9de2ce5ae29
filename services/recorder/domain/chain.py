"""The hash chain of the archive: each hash covers everything before it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

GENESIS: Final = bytes(32)
SEQ_BYTES: Final = 8


@dataclass(frozen=True)
class Link:
    """What the chain covers of one event."""

    seq: int
    subject: str
    payload: bytes


@dataclass(frozen=True)
class Archived(Link):
    """A link with the hash that was archived for it."""

    hash: bytes


@dataclass(frozen=True)
class Tip:
    """Where a chain has come to."""

    seq: int = 0
    hash: bytes = GENESIS


@dataclass(frozen=True)
class Break:
    """The first place where a chain does not hold."""

    seq: int
    reason: str


def hash_of(previous: bytes, link: Link) -> bytes:
    """Return sha256(previous || seq || subject || payload), seq as 8 bytes, big end first.

    Subject and payload need no mark between them: a payload begins with a brace, and no subject
    has one in it.
    """
    seq = link.seq.to_bytes(SEQ_BYTES, "big")
    return hashlib.sha256(previous + seq + link.subject.encode() + link.payload).digest()


def extend(previous: bytes, links: Iterable[Link]) -> list[bytes]:
    """Return the hashes of links that follow on each other."""
    hashes = []
    for link in links:
        previous = hash_of(previous, link)
        hashes.append(previous)
    return hashes


def check(tip: Tip, rows: Iterable[Archived]) -> Tip | Break:
    """Follow the chain from `tip` along `rows`; return where it ends, or where it breaks."""
    for row in rows:
        if row.seq != tip.seq + 1:
            return Break(tip.seq + 1, f"the next row is of sequence {row.seq}")
        if hash_of(tip.hash, row) != row.hash:
            return Break(row.seq, "subject or payload are not those that were archived")
        tip = Tip(row.seq, row.hash)
    return tip


def check_end(tip: Tip, recorded: Tip) -> Break | None:
    """Compare where the chain ends with where the checkpoint says that it does."""
    if tip.seq != recorded.seq:
        return Break(min(tip.seq, recorded.seq) + 1, "the checkpoint names another last sequence")
    if tip.hash != recorded.hash:
        return Break(tip.seq, "the checkpoint names another last hash")
    return None
