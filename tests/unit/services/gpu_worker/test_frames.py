"""What agent and engine say to each other arrives as it was said."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given as anything
from hypothesis import strategies as st

from libs.core.errors import Poisoned
from services.gpu_worker.frames import BLOBS_MAX, Frame, Link, read_frame

facts = st.dictionaries(
    st.text(max_size=8).filter(lambda key: key not in ("kind", "blobs")),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=20),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    ),
    max_size=5,
)


@anything(facts, st.lists(st.binary(max_size=100), max_size=4))
def test_a_frame_arrives_as_it_was_said_in_both_directions(said, blobs):
    async def heard() -> Frame | None:
        reader = asyncio.StreamReader()
        reader.feed_data(Frame("word", said, tuple(blobs)).encode())
        reader.feed_eof()
        return await read_frame(reader)

    assert asyncio.run(heard()) == Frame("word", said, tuple(blobs))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Link(ours).send("word", said, *blobs)
        assert Link(theirs).read() == Frame("word", said, tuple(blobs))


def test_half_of_a_surrogate_pair_survives():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Link(ours).send("word", {"text": "\ud800"})
        heard = Link(theirs).read()
    assert heard is not None
    assert heard.facts == {"text": "\ud800"}


@pytest.mark.parametrize("sent", [b"", b"\x00", b"\x00\x00\x00\x09{"])
async def test_a_side_that_dies_in_the_middle_of_a_word_is_gone(sent):
    reader = asyncio.StreamReader()
    reader.feed_data(sent)
    reader.feed_eof()
    assert await read_frame(reader) is None
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(sent)
        assert Link(theirs).read() is None


async def test_a_frame_without_a_bound_is_refused():
    for data in (b"\xff\xff\xff\xff", Frame("x", {}, (b"",) * (BLOBS_MAX + 1)).encode()):
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        with pytest.raises(Poisoned):
            await read_frame(reader)
