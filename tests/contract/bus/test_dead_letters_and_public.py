"""What is set aside for people, and what is published to those outside."""

from __future__ import annotations

import asyncio

from libs.bus.base import Bus, DeadLetter
from libs.bus.connection import Connection
from libs.bus.memory import MemoryBus
from libs.core.errors import Poisoned
from tests.contract.bus.conftest import World
from tests.contract.bus.told import PATIENCE_SECONDS, append, close, queued

ERROR = Poisoned("it can never succeed")


async def read(bus: Bus, count: int, durable: str = "people") -> list[DeadLetter]:
    reading = bus.dead_letters(durable=durable)
    async with asyncio.timeout(PATIENCE_SECONDS):
        letters = [await anext(reading) for _ in range(count)]
    await close(reading)
    return letters


async def test_a_dead_letter_keeps_the_bytes_and_the_reason(bus: Bus):
    (recorded,) = await append(bus, queued("p1"))
    await bus.dead_letter("billing", "no price", recorded, ERROR)
    (letter,) = await read(bus, 1)
    assert letter.payload == recorded.payload
    assert (letter.service, letter.reason) == ("billing", "no price")
    assert (letter.tenant, letter.prompt_id) == ("acme", "p1")
    assert (letter.subject, letter.origin_seq) == (recorded.subject, recorded.seq)


async def test_the_same_event_given_up_twice_is_one_dead_letter(bus: Bus):
    first, second = await append(bus, queued("p1"), queued("p1", 2))
    for recorded in (first, first, second):
        await bus.dead_letter("billing", "x", recorded, ERROR)
    letters = await read(bus, 2)
    assert [letter.origin_seq for letter in letters] == [1, 2]


async def test_a_letter_is_done_with_when_the_next_is_asked_for(bus: Bus):
    for recorded in await append(bus, queued("p1"), queued("p1", 2), queued("p1", 3)):
        await bus.dead_letter("billing", "x", recorded, ERROR)
    first = await read(bus, 2)
    again = await read(bus, 2)
    assert [letter.origin_seq for letter in first] == [1, 2]
    assert [letter.origin_seq for letter in again] == [2, 3]
    others = await read(bus, 1, durable="others")
    assert [letter.origin_seq for letter in others] == [1]


async def test_a_public_event_is_published_once(world: World):
    for _ in range(3):
        await world.bus.publish_public("acme", "succeeded", "e-1", {"outcome": "succeeded"})
    await world.bus.publish_public("acme", "failed", "e-2", {"outcome": "failed"})
    if isinstance(world.bus, MemoryBus):
        assert [public.event_id for public in world.bus.published()] == ["e-1", "e-2"]
        return
    connection = Connection("tests", "public")
    await connection.open(world.settings.nats_url)
    info = await connection.api("STREAM.INFO.PUBLIC", {"subjects_filter": ">"})
    await connection.close()
    state = info["state"]
    assert isinstance(state, dict)
    assert state["subjects"] == {
        "pub.v1.acme.generation.succeeded": 1,
        "pub.v1.acme.generation.failed": 1,
    }
