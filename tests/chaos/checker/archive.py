"""I5 and I6: the archive is the stream, byte for byte, and its hash chain holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from tests.chaos.checker.evidence import Breach, Evidence

GENESIS = bytes(32)


def check_chain(evidence: Evidence) -> Iterator[Breach]:
    """Recompute sha256(previous || seq || subject || payload) from the first row to the last."""
    previous, expected = GENESIS, 1
    for row in evidence.archive:
        if row.seq != expected:
            yield Breach("I6", "lost", f"the archive goes on at {row.seq} instead of {expected}")
        place = row.seq.to_bytes(8, "big")
        digest = hashlib.sha256(previous + place + row.subject.encode() + row.payload).digest()
        if digest != row.hash:
            yield Breach("I6", "broken", f"the hash at {row.seq} does not follow")
        previous, expected = row.hash, row.seq + 1
    for checkpoint in evidence.tables["checkpoint"]:
        if checkpoint["name"] == "archive" and (checkpoint["seq"], checkpoint["hash"]) != (
            expected - 1,
            previous,
        ):
            yield Breach("I6", "broken", f"the checkpoint names {checkpoint['seq']} as the last")


def check_stream(evidence: Evidence) -> Iterator[Breach]:
    """Compare each message that the stream retains with the archived row of its sequence."""
    archived = {row.seq: row for row in evidence.archive}
    for message in evidence.stream:
        row = archived.get(message.seq)
        if row is None:
            yield Breach("I5", "lost", f"event {message.seq} ({message.subject}) is not archived")
        elif (row.subject, row.payload) != (message.subject, message.payload):
            yield Breach("I5", "broken", f"event {message.seq} is archived with other bytes")
    held = {message.seq for message in evidence.stream}
    first = min(held, default=1)
    for row in evidence.archive:
        if row.seq >= first and row.seq not in held:
            yield Breach("I5", "broken", f"row {row.seq} ({row.subject}) is not on the stream")
