"""Virtual time costs no time, keeps its order, and says when nobody waits for anything."""

from __future__ import annotations

import asyncio

import pytest

from libs.bus.memory import MemoryBus
from tests.chaos.seeded import clock


def test_a_day_passes_at_once():
    async def story() -> tuple[float, str]:
        await asyncio.sleep(86_400)
        return clock.seconds(), clock.now().isoformat()

    assert clock.run(story) == (86_400, "2026-11-24T12:00:00+00:00")


def test_what_is_due_earlier_happens_earlier():
    async def story() -> list[float]:
        woken: list[float] = []

        async def sleeper(seconds: float) -> None:
            await asyncio.sleep(seconds)
            woken.append(seconds)

        await asyncio.gather(*(sleeper(seconds) for seconds in (3, 1, 2)))
        return woken

    assert clock.run(story) == [1, 2, 3]


def test_what_would_go_to_a_thread_is_done_on_the_spot():
    async def story() -> int:
        return await asyncio.to_thread(len, "four")

    assert clock.run(story) == 4


def test_a_story_in_which_all_wait_for_each_other_is_ended():
    async def story() -> None:
        await asyncio.Event().wait()

    with pytest.raises(clock.Stuck):
        clock.run(story)


def test_two_feeds_at_one_place_are_two():
    async def story() -> int:
        bus = MemoryBus()

        async def follow() -> None:
            async for _ in bus.feed(start_seq=1):
                pass

        tasks = [asyncio.create_task(follow()) for _ in range(2)]
        await asyncio.sleep(1.5)
        tasks[1].cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)
        left = [feeding for feeding in bus._world.feeds if feeding.waiting]
        tasks[0].cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(error, asyncio.CancelledError) for error in ended)
        return len(left)

    assert clock.run(story) == 1
