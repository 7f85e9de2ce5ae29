"""Run numbers only ever grow, whoever gives them out and whatever was lost."""

from __future__ import annotations

import asyncio

from libs.bus.memory import MemoryBus
from services.scheduler.numbers import BLOCK, Numbers


async def taken(numbers: Numbers, count: int, above: int = 0) -> list[int]:
    return [await numbers.take(above) for _ in range(count)]


async def test_numbers_grow_by_one_within_a_process():
    assert await taken(Numbers(MemoryBus()), BLOCK + 3) == list(range(1, BLOCK + 4))


async def test_another_process_goes_on_behind():
    bus = MemoryBus()
    first, second = Numbers(bus), Numbers(bus)
    mine, theirs = await taken(first, 2), await taken(second, 2)
    assert max(mine) < min(theirs)
    first.forget()
    assert min(await taken(first, 1)) > max(theirs)


async def test_a_counter_that_began_anew_goes_on_behind_what_was_seen():
    assert await taken(Numbers(MemoryBus()), 2, above=5000) == [5001, 5002]


async def test_many_at_once_get_different_numbers():
    numbers = Numbers(MemoryBus())
    found = await asyncio.gather(*(numbers.take(0) for _ in range(2 * BLOCK)))
    assert sorted(found) == list(range(1, 2 * BLOCK + 1))
