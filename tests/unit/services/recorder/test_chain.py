"""The hash chain holds for what was archived, and for nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recorder.domain.chain import (
    GENESIS,
    Archived,
    Break,
    Link,
    Tip,
    check,
    check_end,
    extend,
    hash_of,
)

PAYLOADS = st.lists(st.binary(min_size=1, max_size=40), min_size=2, max_size=12)


def chain(payloads: list[bytes]) -> list[Archived]:
    links = [Link(seq, f"evt.v1.a.run.{seq}", data) for seq, data in enumerate(payloads, 1)]
    hashes = extend(GENESIS, links)
    return [
        Archived(link.seq, link.subject, link.payload, link_hash)
        for link, link_hash in zip(links, hashes, strict=True)
    ]


def test_a_hash_is_of_the_hash_before_the_sequence_the_subject_and_the_payload():
    before = bytes(range(32))
    plain = before + (7).to_bytes(8, "big") + b"evt.v1.a.run.p" + b"{}"
    assert hash_of(before, Link(7, "evt.v1.a.run.p", b"{}")) == hashlib.sha256(plain).digest()


@given(PAYLOADS)
def test_a_chain_holds_to_its_end_wherever_it_is_cut(payloads):
    rows = chain(payloads)
    end = Tip(len(rows), rows[-1].hash)
    assert check(Tip(), rows) == end
    for cut in range(len(rows)):
        tip = check(Tip(), rows[:cut])
        assert isinstance(tip, Tip)
        assert check(tip, rows[cut:]) == end
    assert check_end(end, end) is None


@given(PAYLOADS, st.data())
def test_a_flipped_bit_breaks_the_chain_at_its_place(payloads, data):
    rows = chain(payloads)
    place = data.draw(st.integers(0, len(rows) - 1))
    flipped = bytearray(rows[place].payload)
    flipped[data.draw(st.integers(0, len(flipped) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    rows[place] = replace(rows[place], payload=bytes(flipped))
    found = check(Tip(), rows)
    assert isinstance(found, Break)
    assert found.seq == place + 1


@given(PAYLOADS, st.data())
def test_a_removed_row_breaks_the_chain_at_its_place(payloads, data):
    rows = chain(payloads)
    end = Tip(len(rows), rows[-1].hash)
    place = data.draw(st.integers(0, len(rows) - 1))
    del rows[place]
    found = check(Tip(), rows)
    if isinstance(found, Tip):  # The last row is missed by the checkpoint alone.
        broken = check_end(found, end)
        assert broken is not None
        found = broken
    assert found.seq == place + 1


@given(PAYLOADS, st.data())
def test_two_rows_that_changed_places_break_the_chain(payloads, data):
    rows = chain([bytes([place]) + payload for place, payload in enumerate(payloads)])
    first = data.draw(st.integers(0, len(rows) - 2))
    second = data.draw(st.integers(first + 1, len(rows) - 1))
    one, other = rows[first], rows[second]
    rows[first] = replace(other, seq=one.seq)
    rows[second] = replace(one, seq=other.seq)
    found = check(Tip(), rows)
    assert isinstance(found, Break)
    assert found.seq == first + 1


@pytest.mark.parametrize("field", ["subject", "hash"])
def test_a_changed_subject_or_hash_breaks_the_chain(field):
    rows = chain([b"a", b"b"])
    changed = {"subject": "evt.v1.b.run.1", "hash": bytes(32)}
    rows[0] = Archived(**{**vars(rows[0]), field: changed[field]})
    assert isinstance(check(Tip(), rows), Break)


def test_a_checkpoint_that_names_another_end_is_noticed():
    (row,) = chain([b"a"])
    tip = check(Tip(), [row])
    assert isinstance(tip, Tip)
    assert check_end(tip, Tip(2, row.hash)) is not None
    assert check_end(tip, Tip(1, bytes(32))) is not None
