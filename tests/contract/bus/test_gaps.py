"""A feed that must be whole raises at a gap that age does not explain."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from libs.bus.base import Bus
from libs.bus.jetstream import JetStreamBus, connect
from libs.core.errors import Poisoned
from tests.contract.bus.conftest import OwnServer, at_empty
from tests.contract.bus.told import append, close, queued


@pytest.fixture
async def leaky(own_nats: OwnServer) -> AsyncIterator[Bus]:
    """Give a bus on a stream that, unlike ours, lets messages be deleted; it holds five."""
    settings = await at_empty(own_nats)
    bus = await connect(settings, "tests")
    assert isinstance(bus, JetStreamBus)
    await bus._news.api("STREAM.CREATE.EVENTS", {"name": "EVENTS", "subjects": ["evt.v1.>"]})
    for number in range(5):
        await append(bus, queued(f"p{number}"))
    yield bus
    await bus.close()


async def delete(bus: Bus, *seqs: int) -> None:
    assert isinstance(bus, JetStreamBus)
    for seq in seqs:
        await bus._news.api("STREAM.MSG.DELETE.EVENTS", {"seq": seq})


async def seqs_of(bus: Bus, *filters: str) -> list[int]:
    reading = bus.feed(start_seq=1, filters=filters)
    batch = await anext(reading)
    await close(reading)
    return [recorded.seq for recorded in batch.events]


async def test_a_hole_in_the_middle_raises_and_names_the_place(leaky: Bus):
    await delete(leaky, 3)
    with pytest.raises(Poisoned, match="gap") as raised:
        await seqs_of(leaky)
    assert raised.value.facts["expected"] == 3
    assert raised.value.facts["found"] == 4


async def test_what_has_aged_away_at_the_front_is_no_gap(leaky: Bus):
    await delete(leaky, 1, 2)
    assert await seqs_of(leaky) == [3, 4, 5]


async def test_a_filtered_feed_cannot_know_of_gaps(leaky: Bus):
    await delete(leaky, 3)
    assert await seqs_of(leaky, "evt.v1.*.run.*") == [1, 2, 4, 5]
