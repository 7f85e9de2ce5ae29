"""The scheduler on a bus, with every event of the other services told twice."""

from __future__ import annotations

import asyncio
import time

import pytest

from libs.core.errors import Poisoned, Refused
from libs.events.asks import KnownAttempt
from libs.events.prompt import CancelRequested, PromptWithdrawn
from libs.events.run import RunQueued, RunRefused
from libs.events.signals import Stop, control_subject
from libs.events.worker import WorkerRegistered, WorkerStopped
from services.scheduler.settings import SchedulerSettings
from tests.integration.scheduler.house import (
    PATIENCE_SECONDS,
    QUICK,
    TENANT,
    House,
    about,
    leading,
    tell,
    until,
)
from tests.unit.services.scheduler import told

SUCCESS = ["RunQueued", "LeaseGranted", "RunEnded"]


async def test_a_prompt_goes_from_its_submission_to_its_success():
    house = House()
    async with house.scheduler():
        await house.submit("p1")
        answer = await house.lease()
        assert answer.tenant == TENANT
        assert answer.submitted is not None
        assert answer.submitted.workflow == told.SEALED
        assert answer.validated is not None
        assert answer.validated.outputs == ("9",)
        assert answer.causation_id
        await house.work(answer, files=2)
        assert (await house.ended("p1")).outcome == "succeeded"
    assert house.kinds("p1") == SUCCESS


async def test_what_was_said_before_the_scheduler_came_is_found():
    house = House()
    await house.submit("p1")
    await tell(house.bus, about(told.submitted, "p2"), told.validated("p2"))
    async with house.scheduler():
        await until(lambda: house.kinds("p1") == ["RunQueued"])
        await tell(house.bus, about(told.held, "p2"))
        assert house.kinds("p2") == []
        await tell(house.bus, about(told.cleared, "p2"))
        await until(lambda: house.kinds("p2") == ["RunQueued"])


async def test_a_refused_prompt_gets_one_answer():
    house = House()
    async with house.scheduler():
        rejected = about(told.rejected, "p1")
        await tell(house.bus, about(told.submitted, "p1"), rejected)
        await until(lambda: house.run_events("p1"))
        await house.bus.drain()
    assert house.kinds("p1") == ["RunRefused"]
    refusal = house.run_events("p1")[0]
    assert isinstance(refusal, RunRefused)
    assert refusal.status == 422


@pytest.mark.covers("R007", "R268")
async def test_more_prompts_than_workers_drain_in_order():
    house = House()
    async with house.scheduler():
        for number in range(6):
            await house.submit(f"p{number}")
        await until(lambda: all(house.kinds(f"p{n}") for n in range(6)))
        order: list[str] = []

        async def worker(name: str) -> None:
            done = ("", 0)
            while len(order) < 6:
                answer = await house.ask(name, done_prompt_id=done[0], done_attempt=done[1])
                if answer.lease is not None:
                    order.append(answer.lease.prompt_id)
                    await house.work(answer)
                    done = (answer.lease.prompt_id, answer.lease.attempt)

        await asyncio.gather(worker("gpu0-a"), worker("gpu1-b"))
        for number in range(6):
            assert (await house.ended(f"p{number}")).outcome == "succeeded"
    assert order == [f"p{number}" for number in range(6)]
    assert all(house.kinds(f"p{number}") == SUCCESS for number in range(6))


async def test_numbers_only_grow_across_schedulers():
    house = House()
    for number in range(6):
        async with house.scheduler(f"s{number}"):
            await house.submit(f"p{number}")
            await house.said(f"p{number}")
    numbers = [e.number for e in house.bus.journal_events() if isinstance(e, RunQueued)]
    assert numbers == sorted(set(numbers))


async def test_an_ask_whose_answer_was_lost_gets_the_same_lease_again():
    house = House()
    async with house.scheduler():
        await house.submit("p1")
        first = await house.lease()
        again = await house.ask()
        assert again == first
        assert house.kinds("p1") == ["RunQueued", "LeaseGranted"]
        done = await house.ask(done_prompt_id="p1", done_attempt=1)
        assert done.lease is None


def known(*prompt_ids: str) -> tuple[KnownAttempt, ...]:
    return tuple(KnownAttempt(prompt_id=prompt_id, attempt=1) for prompt_id in prompt_ids)


async def test_a_worker_may_hold_several_leases_and_is_given_none_of_them_twice():
    house = House()
    async with house.scheduler():
        for number in (1, 2, 3):
            await house.submit(f"p{number}")
        first = await house.lease()
        second = await house.lease(known=known("p1"), beside=1)
        third = await house.lease(known=known("p1", "p2"), beside=2)
        leases = [answer.lease for answer in (first, second, third)]
        assert [lease.prompt_id for lease in leases if lease] == ["p1", "p2", "p3"]
        # The answer about the second was lost: only that one is said again.
        again = await house.ask(known=known("p1", "p3"), beside=2)
        assert again == second
        assert (await house.ask(known=known("p1", "p2", "p3"), beside=3)).lease is None
        for answer in (second, first, third):
            await house.work(answer)
        for number in (1, 2, 3):
            assert (await house.ended(f"p{number}")).outcome == "succeeded"
    assert all(house.kinds(f"p{number}") == SUCCESS for number in (1, 2, 3))


async def test_each_lease_of_a_worker_ends_for_itself():
    house = House()
    async with house.scheduler():
        stops: list[Stop] = []

        async def hear() -> None:
            async for signal in house.bus.signals(control_subject(told.ADA)):
                stop = Stop.model_validate_json(signal.data)
                stops.append(stop)

        hearing = asyncio.create_task(hear())
        for number in (1, 2, 3):
            await house.submit(f"p{number}")
        answers = [
            await house.lease(known=known(*(f"p{n}" for n in range(1, number))), beside=number - 1)
            for number in (1, 2, 3)
        ]
        await tell(house.bus, about(told.cancel, "p2"))
        assert (await house.ended("p2")).outcome == "cancelled"
        failed = told.failed(1, retryable=True)
        await tell(house.bus, about(told.started(1), "p3"), about(failed, "p3"))
        await house.said("p3", "LeaseExpired")
        await house.work(answers[0])
        assert (await house.ended("p1")).outcome == "succeeded"
        hearing.cancel()
    assert {(stop.prompt_id, stop.reason) for stop in stops} == {
        ("p2", "cancelled"),
        ("p3", "the lease is lost"),
    }
    assert house.kinds("p1") == SUCCESS


async def test_a_silent_worker_loses_all_its_leases_and_each_run_is_leased_again():
    house = House(silence_seconds=0.5)
    async with house.scheduler():
        for number in (1, 2):
            await house.submit(f"p{number}")
        await house.lease()
        await house.lease(known=known("p1"), beside=1)
        for number in (1, 2):
            await house.said(f"p{number}", "LeaseExpired")
        first = (await house.lease("gpu1-b")).lease
        assert first is not None
        mine = KnownAttempt(prompt_id=first.prompt_id, attempt=first.attempt)
        second = (await house.lease("gpu1-b", known=(mine,), beside=1)).lease
        assert second is not None
        found = {(lease.prompt_id, lease.attempt) for lease in (first, second)}
        assert found == {("p1", 2), ("p2", 2)}


async def test_an_ask_waits_for_a_run_and_is_answered_at_once_when_there_is_one():
    house = House(settings=QUICK.model_copy(update={"poll_seconds": 60.0}))
    async with house.scheduler() as scheduler:
        await leading(scheduler)
        asking = asyncio.create_task(house.ask())
        await asyncio.sleep(0.05)
        began = time.perf_counter()
        await house.submit("p1")
        assert (await asking).lease is not None
        assert time.perf_counter() - began < 20


async def test_a_silent_worker_loses_its_lease_and_a_beating_one_keeps_it():
    house = House(silence_seconds=1.5)
    async with house.scheduler():
        await house.submit("p1")
        await house.submit("p2")
        await house.lease("gpu0-a")
        await house.lease("gpu1-b")

        async def beat() -> None:
            while True:
                await house.beat("gpu1-b")
                await asyncio.sleep(0.1)

        beating = asyncio.create_task(beat())
        await until(lambda: house.kinds("p1").count("LeaseExpired") == 1)
        await asyncio.sleep(0.5)
        beating.cancel()
        assert house.kinds("p2") == ["RunQueued", "LeaseGranted"]


async def test_a_run_whose_workers_all_fall_silent_fails_after_three_attempts():
    house = House(silence_seconds=0.1)
    async with house.scheduler():
        await house.submit("p1")
        for attempt in (1, 2, 3):
            answer = await house.lease(f"gpu{attempt}-x")
            assert answer.lease is not None
            assert answer.lease.attempt == attempt
            await house.said("p1", "LeaseExpired", attempt)
        end = await house.ended("p1")
    assert (end.outcome, end.attempt) == ("failed", 3)
    assert "silent" in end.reason


async def test_a_result_that_comes_after_the_lease_was_lost_is_not_delivered():
    house = House(silence_seconds=0.3)
    async with house.scheduler():
        await house.submit("p1")
        zombie = await house.lease("gpu0-a")
        await until(lambda: "LeaseExpired" in house.kinds("p1"))
        await house.work(zombie)
        fresh = await house.lease("gpu1-b")
        assert fresh.lease is not None
        assert fresh.lease.attempt == 2
        await house.work(zombie)
        await house.bus.drain()
        assert house.end("p1") is None
        await house.work(fresh)
        end = await house.ended("p1")
    assert (end.outcome, end.attempt) == ("succeeded", 2)


async def test_a_newer_worker_on_the_slot_frees_the_run_at_once():
    house = House()
    async with house.scheduler():
        await house.submit("p1")
        await house.lease("gpu0-old")
        registered = WorkerRegistered(
            worker_id="gpu0-new", slot="gpu0", device="cpu", backend="torch", vram_mib=1
        )
        await tell(house.bus, registered)
        answer = await house.lease("gpu0-new")
        assert answer.lease is not None
        assert answer.lease.attempt == 2
        with pytest.raises(Refused):
            await house.ask("gpu0-old")


async def test_a_worker_that_stops_hands_its_run_back_at_once():
    house = House()
    async with house.scheduler():
        await house.submit("p1")
        await house.lease("gpu0-a")
        await tell(house.bus, WorkerStopped(worker_id="gpu0-a", slot="gpu0", reason="drained"))
        await until(lambda: house.kinds("p1") == ["RunQueued", "LeaseGranted", "LeaseExpired"])


async def test_a_worker_that_leaves_while_it_asks_gets_no_lease():
    house = House(settings=QUICK.model_copy(update={"poll_seconds": 60.0}))
    async with house.scheduler() as scheduler:
        await leading(scheduler)
        asking = asyncio.create_task(house.ask("gpu0-a"))
        await asyncio.sleep(0.05)
        await tell(house.bus, WorkerStopped(worker_id="gpu0-a", slot="gpu0", reason="drained"))
        assert (await asyncio.wait_for(asking, 20)).lease is None
        await house.submit("p1")
        await house.said("p1")
        await house.bus.drain()
        assert house.kinds("p1") == ["RunQueued"]


async def test_a_cancel_tells_the_worker_until_it_stops():
    house = House()
    async with house.scheduler():
        stops = house.bus.signals(control_subject(told.ADA))
        hearing = asyncio.ensure_future(anext(stops))
        await house.submit("p1")
        await house.lease()
        await tell(house.bus, CancelRequested(prompt_id="p1", by="u1"))
        stop = Stop.model_validate_json((await asyncio.wait_for(hearing, PATIENCE_SECONDS)).data)
        assert (stop.prompt_id, stop.attempt) == ("p1", 1)
        await tell(house.bus, about(told.interrupted(), "p1"))
        assert (await house.ended("p1")).outcome == "cancelled"
        await stops.aclose()  # type: ignore[attr-defined]


async def test_a_worker_that_does_not_hear_the_cancel_does_not_hold_it_up():
    house = House()
    async with house.scheduler():
        await house.submit("p1")
        answer = await house.lease()
        await tell(house.bus, CancelRequested(prompt_id="p1", by="u1"))
        assert (await house.ended("p1")).outcome == "cancelled"
        await house.work(answer)
        await house.bus.drain()
    assert house.kinds("p1") == SUCCESS


async def test_a_waiting_run_is_cancelled_and_never_leased():
    house = House()
    async with house.scheduler():
        await house.submit("p1")
        await until(lambda: house.kinds("p1"))
        await tell(house.bus, PromptWithdrawn(prompt_id="p1", reason="too slow"))
        assert (await house.ended("p1")).outcome == "cancelled"
        assert (await house.ask()).lease is None


@pytest.mark.covers("R268")
async def test_a_run_that_no_living_worker_can_execute_ends_with_the_reason():
    house = House()
    async with house.scheduler():
        await house.submit("p1", vram_mib=9000)
        await house.submit("p2", needs=("vae/missing.safetensors",))
        assert (await house.ask()).lease is None
        first, second = await house.ended("p1"), await house.ended("p2")
    assert (first.outcome, first.reason) == (
        "expired",
        "it needs 9000 MiB, the largest worker has 8192 MiB",
    )
    assert second.reason == "no worker holds vae/missing.safetensors"


async def test_without_any_worker_a_run_waits():
    house = House()
    async with house.scheduler():
        await house.submit("p1", vram_mib=9000)
        await until(lambda: house.kinds("p1"))
        await asyncio.sleep(1.5)
        assert house.kinds("p1") == ["RunQueued"]


async def test_a_full_queue_refuses_the_tenant_that_filled_it():
    house = House(settings=SchedulerSettings(poll_seconds=0.2, queue_max=3, tenant_queue_max=2))
    async with house.scheduler():
        for number in range(3):
            await house.submit(f"p{number}")
            await house.said(f"p{number}")
        await house.submit("p3", tenant="u")
        await house.submit("p4", tenant="v")
        await until(lambda: house.kinds("p4") and house.kinds("p3"))
    full = house.run_events("p2")[0]
    assert isinstance(full, RunRefused)
    assert (full.status, full.code) == (429, "queue_full")
    over = house.run_events("p4")[0]
    assert isinstance(over, RunRefused)
    assert over.status == 503
    assert house.kinds("p3") == ["RunQueued"]


async def test_what_a_service_gave_up_ends_its_prompt():
    house = House()
    async with house.scheduler():
        await house.submit("p1")
        await tell(house.bus, about(told.submitted, "p2"))
        await until(lambda: house.kinds("p1"))
        for recorded in house.bus.recorded("evt.v1.*.prompt.*"):
            await house.bus.dead_letter("validator", "poisoned", recorded, Poisoned("no"))
        end = await house.ended("p1")
        await until(lambda: house.kinds("p2"))
    assert end.outcome == "failed"
    assert end.reason == "validator could not read or handle a message about the prompt"
    refusal = house.run_events("p2")[0]
    assert isinstance(refusal, RunRefused)
    assert refusal.status == 503
