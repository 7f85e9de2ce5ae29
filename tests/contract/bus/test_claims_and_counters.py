"""Claims have one holder, and a number is given to one taker."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from libs.bus.base import Bus
from libs.bus.memory import MemoryBus
from tests.contract.bus.conftest import World


async def test_a_role_has_one_holder(world: World):
    other = await world.another("other")
    claims = await asyncio.gather(
        *(bus.claim("scheduler", f"h{n}") for n, bus in enumerate([world.bus, other] * 10))
    )
    assert sum(claim is not None for claim in claims) == 1


async def test_a_holder_renews_with_the_newest_revision_only(bus: Bus):
    first = await bus.claim("scheduler", "ada")
    assert first is not None
    second = await bus.renew("scheduler", "ada", first)
    assert second is not None
    assert await bus.renew("scheduler", "ada", first) is None
    assert await bus.renew("scheduler", "ada", second) is not None


async def test_roles_are_apart(bus: Bus):
    assert await bus.claim("scheduler", "ada") is not None
    assert await bus.claim("sweeper", "bob") is not None


async def test_whoever_resigns_makes_room_at_once(bus: Bus):
    first = await bus.claim("scheduler", "ada")
    assert first is not None
    await bus.resign("scheduler", first)
    second = await bus.claim("scheduler", "bob")
    assert second is not None
    assert await bus.renew("scheduler", "ada", first) is None
    assert await bus.renew("scheduler", "bob", second) is not None


async def test_whoever_resigns_late_takes_nothing_from_the_next(bus: Bus):
    first = await bus.claim("scheduler", "ada")
    assert first is not None
    await bus.resign("scheduler", first)
    second = await bus.claim("scheduler", "bob")
    assert second is not None
    await bus.resign("scheduler", first)
    assert await bus.claim("scheduler", "eve") is None


async def test_a_claim_lapses_in_memory_on_the_clock_it_was_given():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    bus = MemoryBus(now=lambda: now)
    first = await bus.claim("scheduler", "ada")
    assert first is not None
    now += timedelta(seconds=9)
    assert await bus.claim("scheduler", "bob") is None
    now += timedelta(seconds=2)
    assert await bus.renew("scheduler", "ada", first) is None
    assert await bus.claim("scheduler", "bob") is not None


async def test_a_claim_lapses_on_the_server_after_ten_seconds(jetstream: World):
    bus = jetstream.bus
    first = await bus.claim("scheduler", "ada")
    assert first is not None
    await asyncio.sleep(5)
    assert await bus.claim("scheduler", "bob") is None
    await asyncio.sleep(6.5)
    assert await bus.renew("scheduler", "ada", first) is None
    second = await bus.claim("scheduler", "bob")
    assert second is not None
    assert await bus.renew("scheduler", "ada", first) is None


async def test_fifty_takers_get_fifty_numbers(world: World):
    other = await world.another("other")
    buses = [world.bus, other]
    numbers = await asyncio.gather(*(buses[n % 2].count("runs") for n in range(50)))
    assert sorted(numbers) == list(range(1, 51))


async def test_several_numbers_are_taken_together(bus: Bus):
    assert await bus.count("runs", 5) == 1
    assert await bus.count("runs") == 6
    assert await bus.count("others") == 1
