"""Batches are read ahead while the archive is behind, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from libs.bus.base import Batch
from libs.core.errors import Unavailable
from services.recorder.gathering import Gathered, Gathering
from tests.contract.store import lives
from tests.contract.store.lives import prompt_id, recorded

EVENTS = recorded(lives.success(prompt_id(1)))


class Feed:
    """Gives prepared batches and then nothing; counts how many were asked for."""

    def __init__(self, *batches: Batch | Exception) -> None:
        self._batches = list(batches)
        self.asked = 0

    async def read(self) -> AsyncIterator[Batch]:
        for batch in self._batches:
            self.asked += 1
            if isinstance(batch, Exception):
                raise batch
            yield batch
        self.asked += 1
        await asyncio.Event().wait()


def batch(start: int, size: int, pending: int) -> Batch:
    return Batch(tuple(EVENTS[start : start + size]), pending, start + size)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_while_the_stream_has_more_the_next_batch_is_read_meanwhile():
    feed = Feed(batch(0, 3, 3), batch(3, 3, 0))
    async with Gathering(feed.read(), batch_min=1) as gathering:
        first = await gathering.next()
        await settle()
        assert feed.asked == 2
        second = await gathering.next()
        assert [one.seq for one in (*first.events, *second.events)] == [1, 2, 3, 4, 5, 6]
        await settle()
        assert feed.asked == 2


async def test_small_batches_are_joined_as_long_as_the_stream_has_more():
    feed = Feed(batch(0, 2, 8), batch(2, 2, 6), batch(4, 2, 4), batch(6, 2, 0))
    async with Gathering(feed.read(), batch_min=5) as gathering:
        assert len((await gathering.next()).events) == 6
        assert len((await gathering.next()).events) == 2


async def test_silence_is_an_empty_batch():
    async with Gathering(Feed(Batch((), 0, 4)).read(), batch_min=5) as gathering:
        assert await gathering.next() == Gathered((), 0)


async def test_what_went_wrong_while_reading_ahead_is_raised_when_its_turn_comes():
    feed = Feed(batch(0, 3, 3), Unavailable("gone"))
    async with Gathering(feed.read(), batch_min=1) as gathering:
        assert len((await gathering.next()).events) == 3
        with pytest.raises(Unavailable):
            await gathering.next()


async def test_whoever_leaves_ends_what_is_being_read_ahead():
    feed = Feed(batch(0, 3, 3))
    before = asyncio.all_tasks()
    async with Gathering(feed.read(), batch_min=1) as gathering:
        await gathering.next()
        await settle()
        assert len(asyncio.all_tasks()) == len(before) + 1
    assert asyncio.all_tasks() == before
