"""The hash chain holds for what was archived, and for nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recorder.domain.chain import BEGINNING, GENESIS, Tip, extend, hash_of
from services.recorder.domain.walk import Fault, Walk, Wrong

PAYLOADS = st.lists(st.binary(min_size=1, max_size=40), min_size=2, max_size=12, unique=True)


@dataclass(frozen=True)
class Row:
    """A row of an archive."""

    seq: int
    subject: str
    payload: bytes
    hash: bytes = b""
    type: str = "RunQueued"


def chain(payloads: list[bytes]) -> list[Row]:
    rows = [Row(seq, f"evt.v1.a.run.{seq}", data) for seq, data in enumerate(payloads, 1)]
    hashes = extend(GENESIS, rows)
    return [replace(row, hash=link_hash) for row, link_hash in zip(rows, hashes, strict=True)]


def end_of(rows: list[Row]) -> Tip:
    return Tip(len(rows), rows[-1].hash)


def walked(rows: Iterable[Row], end: Tip, known: Tip = BEGINNING) -> Fault | None:
    walk = Walk(end, known)
    for row in rows:
        walk.take(row)
    return walk.finish()


def test_a_hash_is_of_the_hash_before_the_sequence_the_subject_and_the_payload():
    before = bytes(range(32))
    plain = before + (7).to_bytes(8, "big") + b"evt.v1.a.run.p" + b"{}"
    assert hash_of(before, Row(7, "evt.v1.a.run.p", b"{}")) == hashlib.sha256(plain).digest()


@given(PAYLOADS)
def test_a_chain_holds_to_its_end(payloads):
    rows = chain(payloads)
    walk = Walk(end_of(rows))
    for row in rows:
        walk.take(row)
    assert walk.finish() is None
    assert walk.tip == end_of(rows)


@given(PAYLOADS, st.data())
def test_a_flipped_bit_is_named_at_its_place(payloads, data):
    rows = chain(payloads)
    end = end_of(rows)
    place = data.draw(st.integers(0, len(rows) - 1))
    flipped = bytearray(rows[place].payload)
    flipped[data.draw(st.integers(0, len(flipped) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    rows[place] = replace(rows[place], payload=bytes(flipped))
    found = walked(rows, end)
    assert found is not None
    assert (found.seq, found.type, found.wrong) == (place + 1, "RunQueued", Wrong.BYTES)


@given(PAYLOADS, st.data())
def test_a_changed_hash_is_told_from_changed_bytes(payloads, data):
    rows = chain(payloads)
    end = end_of(rows)
    place = data.draw(st.integers(0, len(rows) - 1))
    rows[place] = replace(rows[place], hash=hashlib.sha256(rows[place].hash).digest())
    found = walked(rows, end)
    assert found is not None
    assert (found.seq, found.wrong) == (place + 1, Wrong.HASH)


@given(PAYLOADS, st.data())
def test_a_removed_row_is_named_at_its_place(payloads, data):
    rows = chain(payloads)
    end = end_of(rows)
    place = data.draw(st.integers(0, len(rows) - 1))
    del rows[place]
    found = walked(rows, end)
    assert found is not None
    assert (found.seq, found.wrong) == (place + 1, Wrong.MISSING)


@given(PAYLOADS, st.booleans(), st.data())
def test_two_rows_that_changed_places_are_both_named(payloads, with_hashes, data):
    rows = chain(payloads)
    end = end_of(rows)
    first = data.draw(st.integers(0, len(rows) - 2))
    second = data.draw(st.integers(first + 1, len(rows) - 1))
    one, other = rows[first], rows[second]
    hashes = (other.hash, one.hash) if with_hashes else (one.hash, other.hash)
    rows[first] = replace(other, seq=one.seq, hash=hashes[0])
    rows[second] = replace(one, seq=other.seq, hash=hashes[1])
    found = walked(rows, end)
    assert found is not None
    assert (found.seq, found.wrong) == (first + 1, Wrong.SWAPPED)
    assert found.detail == f"the event that belongs here lies at {second + 1}"


def test_a_changed_subject_is_a_change_of_bytes():
    rows = chain([b"a", b"b"])
    changed = [replace(rows[0], subject="evt.v1.b.run.1"), rows[1]]
    found = walked(changed, end_of(rows))
    assert found is not None
    assert (found.seq, found.wrong) == (1, Wrong.BYTES)


def test_an_event_that_was_moved_away_is_missing_and_found():
    rows = chain([b"a", b"b", b"c"])
    moved = [rows[0], rows[2], replace(rows[1], seq=9)]
    assert walked(moved, end_of(rows)) == Fault(
        2, "", Wrong.MISSING, "the event that belongs here lies at 9"
    )


def test_a_row_behind_the_checkpoint_is_one_too_many():
    rows = chain([b"a", b"b", b"c"])
    found = walked(rows, end_of(rows[:2]))
    assert found is not None
    assert (found.seq, found.wrong) == (3, Wrong.ADDED)


@pytest.mark.parametrize(
    ("end", "wrong", "seq"),
    [(2, Wrong.MISSING, 2), (1, Wrong.HASH, 1)],
    ids=["of a later sequence", "of another hash"],
)
def test_a_checkpoint_that_names_another_end_is_noticed(end, wrong, seq):
    found = walked(chain([b"a"]), Tip(end, bytes(32)))
    assert found is not None
    assert (found.seq, found.wrong) == (seq, wrong)


def test_a_tip_that_somebody_kept_must_hold():
    rows = chain([b"a", b"b", b"c"])
    end = end_of(rows)
    assert walked(rows, end, known=Tip(2, rows[1].hash)) is None
    anew = walked(rows, end, known=Tip(2, bytes(32)))
    assert anew is not None
    assert (anew.seq, anew.wrong) == (2, Wrong.HASH)
    short = walked(rows, end, known=Tip(7, bytes(32)))
    assert short is not None
    assert (short.seq, short.wrong) == (4, Wrong.MISSING)
