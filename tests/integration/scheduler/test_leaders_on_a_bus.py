"""Several schedulers on one bus: who leads, and what a change of leaders leaves behind."""

from __future__ import annotations

import asyncio

from libs.events.run import LeaseExpired, LeaseGranted
from services.scheduler.handlers import Scheduler
from tests.integration.scheduler.house import PATIENCE_SECONDS, House, leading, until

SUCCESS = ["RunQueued", "LeaseGranted", "RunEnded"]


async def test_two_schedulers_at_once_queue_lease_and_end_every_run_once():
    house = House()
    async with house.scheduler("s1") as first, house.scheduler("s2") as second:
        await until(lambda: first.leading or second.leading)
        # Both act, as they may for a moment when a leader is slow to notice that it is none.
        for scheduler in (first, second):
            await scheduler.begin()
        names = [f"p{number}" for number in range(20)]
        await asyncio.gather(*(house.submit(name) for name in names))
        done: set[str] = set()

        async def worker(name: str, via: Scheduler) -> None:
            last = ("", 0)
            while len(done) < len(names):
                answer = await house.ask(name, via, done_prompt_id=last[0], done_attempt=last[1])
                if answer.lease is not None:
                    last = (answer.lease.prompt_id, answer.lease.attempt)
                    done.add(answer.lease.prompt_id)
                    await house.work(answer)

        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(worker(f"gpu{n}-x", (first, second)[n % 2]) for n in range(4)))
        for name in names:
            assert (await house.ended(name)).outcome == "succeeded"
    for name in names:
        grants = [e for e in house.run_events(name) if isinstance(e, LeaseGranted)]
        assert [grant.attempt for grant in grants] == [1]
        assert house.kinds(name) == SUCCESS


async def test_the_standby_answers_nothing_and_takes_over_when_the_leader_leaves():
    house = House()
    async with house.scheduler("s2") as second:
        async with house.scheduler("s1") as first:
            await until(lambda: first.leading or second.leading)
            await asyncio.sleep(0.2)
            assert first.leading != second.leading
        await leading(second)
        await house.submit("p1")
        await house.work(await house.lease())
        assert (await house.ended("p1")).outcome == "succeeded"


async def test_a_worker_that_two_leaders_granted_something_is_handed_the_one_and_then_the_other():
    house = House()
    async with house.scheduler("s1"):
        for name in ("p1", "p2"):
            await house.submit(name)
            await house.said(name, "RunQueued")
    # One of the two was frozen after it had read an ask, and granted it long after.
    for name in ("p1", "p2"):
        await house.grant(name)
    async with house.scheduler("s2") as second_leader:
        await leading(second_leader)
        first = await house.lease(via=second_leader)
        await house.work(first)
        assert first.lease is not None
        done = first.lease.prompt_id
        second = await house.lease(via=second_leader, done_prompt_id=done, done_attempt=1)
        await house.work(second)
        for name in ("p1", "p2"):
            assert (await house.ended(name)).outcome == "succeeded"
            assert house.kinds(name) == SUCCESS


async def test_a_new_leader_gives_a_lease_one_full_period_before_it_expires():
    house = House(silence_seconds=1.6)
    async with house.scheduler("s1"):
        await house.submit("p1")
        await house.lease()
        await asyncio.sleep(0.9)
    async with house.scheduler("s2") as second:
        await leading(second)
        await asyncio.sleep(0.9)
        assert house.kinds("p1") == ["RunQueued", "LeaseGranted"]
        await until(lambda: "LeaseExpired" in house.kinds("p1"))
    assert [e.attempt for e in house.run_events("p1") if isinstance(e, LeaseExpired)] == [1]


async def test_a_scheduler_that_is_killed_at_any_moment_loses_nothing():
    house = House()
    names = [f"p{number}" for number in range(12)]
    for round_number in range(6):
        async with house.scheduler(f"s{round_number}") as scheduler:
            for name in names[2 * round_number : 2 * round_number + 2]:
                await house.submit(name)
            await leading(scheduler)
            # The bus tells each new scheduler the whole story again.
            for _ in range(2):
                answer = await house.ask(f"gpu0-{round_number}", done_attempt=1)
                if answer.lease is not None:
                    await house.work(answer)
    async with house.scheduler("last") as scheduler:
        await leading(scheduler)
        last = ""
        while any(house.end(name) is None for name in names):
            answer = await house.ask("gpu0-last", done_prompt_id=last, done_attempt=1)
            if answer.lease is not None:
                last = answer.lease.prompt_id
                await house.work(answer)
    assert all(house.kinds(name)[-1] == "RunEnded" for name in names)
    assert all(house.kinds(name).count("RunEnded") == 1 for name in names)
