"""An agent that holds several leases at once, each of which ends for itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from libs.core.jsonvalue import Json, JsonObject
from libs.events.execution import ExecutionFailed, NodeFinished
from libs.events.prompt import CancelRequested
from libs.events.run import LeaseGranted, RunEnded
from services.gpu_worker.agent import Agent
from services.gpu_worker.settings import WorkerSettings
from tests.integration.gpu_worker.workshop import Workshop
from tests.integration.scheduler.house import tell, until

THREE = ("p1", "p2", "p3")


@asynccontextmanager
async def working(
    tmp_path: Path, batch: int = 3, profile: str = "fast", **more: Any
) -> AsyncIterator[tuple[Workshop, Agent]]:
    """Give a workshop with a scheduler, moderation and one worker that executes several at once."""
    settings = WorkerSettings(
        threads=1,
        scan_seconds=0.05,
        stop_seconds=1.0,
        ask_seconds=1.0,
        device="cpu",
        profile=profile,
        batch=batch,
    )
    workshop = Workshop(tmp_path, settings=settings, **more)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(workshop.house.scheduler())
        await stack.enter_async_context(workshop.moderation())
        agent = await stack.enter_async_context(workshop.worker())
        yield workshop, agent


def do(*words: tuple[Json, ...]) -> JsonObject:
    return {"do": [list(word) for word in words]}


async def begun(workshop: Workshop, *prompt_ids: str) -> None:
    """Wait until all these runs are under way."""
    await until(lambda: all(workshop.news(prompt_id) for prompt_id in prompt_ids))


def grants(workshop: Workshop, prompt_id: str) -> int:
    return sum(isinstance(event, LeaseGranted) for event in workshop.house.run_events(prompt_id))


async def test_several_runs_are_executed_at_once_and_each_ends_once(tmp_path):
    async with working(tmp_path) as (workshop, agent):
        for name in THREE:
            await workshop.submit(name, do(("step", 40), ("save", name, name)))
        await begun(workshop, *THREE)
        assert len(agent.jobs) == 3
        for name in THREE:
            end = await workshop.house.ended(name)
            assert (end.outcome, end.attempt) == ("succeeded", 1)
    for name in THREE:
        assert workshop.kinds(name) == ["ExecutionStarted", "NodeFinished", "ExecutionFinished"]
        assert grants(workshop, name) == 1
        (shown,) = (event for event in workshop.news(name) if isinstance(event, NodeFinished))
        assert await workshop.artifacts.get(shown.outputs[0].artifact) == name.encode()


async def test_more_runs_than_there_are_places_wait_for_one(tmp_path):
    async with working(tmp_path, batch=2) as (workshop, agent):
        most = 0
        names = [f"p{number}" for number in range(7)]
        for name in names:
            await workshop.submit(name, do(("step", 3), ("save", "a")))

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, len(agent.jobs))
                await asyncio.sleep(0.005)

        watching = asyncio.create_task(watch())
        for name in names:
            end = await workshop.house.ended(name)
            assert (end.outcome, end.attempt) == ("succeeded", 1)
        watching.cancel()
    assert most == 2
    assert all(grants(workshop, name) == 1 for name in names)


async def test_a_cancel_of_one_leaves_the_others_and_their_engine_as_they_are(tmp_path):
    async with working(tmp_path) as (workshop, agent):
        pid = (await agent.engine.ready())["pid"]
        await workshop.submit("p1", do(("step", 2000), ("save", "a")))
        await workshop.submit("p2", do(("step", 60), ("save", "a")))
        await workshop.submit("p3", do(("step", 60), ("save", "a")))
        await begun(workshop, *THREE)
        await tell(workshop.house.bus, CancelRequested(prompt_id="p1", by="u1"))
        assert (await workshop.house.ended("p1")).outcome == "cancelled"
        for name in ("p2", "p3"):
            end = await workshop.house.ended(name)
            assert (end.outcome, end.attempt) == ("succeeded", 1)
        assert (await agent.engine.ready())["pid"] == pid
    assert workshop.kinds("p1") == ["ExecutionStarted", "ExecutionInterrupted"]


async def test_one_that_hears_no_stop_is_killed_when_the_others_are_done(tmp_path):
    async with working(tmp_path) as (workshop, agent):
        pid = (await agent.engine.ready())["pid"]
        await workshop.submit("p1", do(("hang",)))
        await workshop.submit("p2", do(("step", 100), ("save", "a")))
        await begun(workshop, "p1", "p2")
        await tell(workshop.house.bus, CancelRequested(prompt_id="p1", by="u1"))
        assert (await workshop.house.ended("p1")).outcome == "cancelled"
        end = await workshop.house.ended("p2")
        assert (end.outcome, end.attempt) == ("succeeded", 1)
        # Nothing more is begun beside it: the engine has to be free of others to be killed.
        await workshop.submit("p3", do(("save", "a")))
        end = await workshop.house.ended("p3")
        assert (end.outcome, end.attempt) == ("succeeded", 1)
        assert (await agent.engine.ready())["pid"] != pid


async def test_kill_9_of_the_engine_requeues_all_that_were_under_way_and_each_ends_once(tmp_path):
    async with working(tmp_path) as (workshop, agent):
        for name in THREE:
            await workshop.submit(name, do(("step", 40), ("save", "a")))
        await begun(workshop, *THREE)
        pid = (await agent.engine.ready())["pid"]
        assert isinstance(pid, int)
        os.kill(pid, SIGKILL)
        for name in THREE:
            end = await workshop.house.ended(name)
            assert (end.outcome, end.attempt) == ("succeeded", 2)
    for name in THREE:
        (failed,) = (event for event in workshop.news(name) if isinstance(event, ExecutionFailed))
        assert (failed.attempt, failed.exception_type) == (1, "EngineCrashed")
        assert grants(workshop, name) == 2


async def test_a_failure_of_one_is_nobody_elses(tmp_path):
    async with working(tmp_path) as (workshop, _):
        await workshop.submit("p1", do(("step", 5), ("fail", "its own reason")))
        await workshop.submit("p2", do(("step", 30), ("save", "a")))
        assert (await workshop.house.ended("p1")).outcome == "failed"
        end = await workshop.house.ended("p2")
        assert (end.outcome, end.attempt) == ("succeeded", 1)


async def test_an_exact_run_gets_no_company(tmp_path):
    async with working(tmp_path, profile="exact") as (workshop, agent):
        for name in THREE:
            await workshop.submit(name, do(("step", 10), ("save", "a")))
        most = 0
        await begun(workshop, "p1")
        while workshop.house.end("p3") is None:
            most = max(most, len(agent.jobs))
            await asyncio.sleep(0.005)
        assert most == 1
        # Those that ask for the fast profile have each other's.
        for name in ("f1", "f2"):
            await workshop.submit(name, do(("step", 40), ("save", "a")), profile="fast")
        await begun(workshop, "f1", "f2")
        assert len(agent.jobs) == 2
        for name in (*THREE, "f1", "f2"):
            end = await workshop.house.ended(name)
            assert (end.outcome, end.attempt) == ("succeeded", 1)


async def test_a_worker_that_leaves_finishes_all_that_it_has_in_hand(tmp_path):
    workshop = Workshop(tmp_path, drain_seconds=20.0)
    workshop.settings = workshop.settings.model_copy(update={"batch": 3, "profile": "fast"})
    async with workshop.house.scheduler(), workshop.moderation():
        async with workshop.worker():
            for name in THREE:
                await workshop.submit(name, do(("step", 30), ("save", "a")))
            await begun(workshop, *THREE)
        for name in THREE:
            end = await workshop.house.ended(name)
            assert (end.outcome, end.attempt) == ("succeeded", 1)


async def test_a_worker_that_leaves_hands_all_back_that_take_too_long(tmp_path):
    workshop = Workshop(tmp_path, drain_seconds=2.2)
    workshop.settings = workshop.settings.model_copy(update={"batch": 3, "profile": "fast"})
    async with workshop.house.scheduler(), workshop.moderation():
        async with workshop.worker("gpu0-a"):
            for name in THREE:
                await workshop.submit(name, do(("step", 25, 0.1), ("save", "a")))
            await begun(workshop, *THREE)
        for name in THREE:
            assert workshop.kinds(name)[-1] == "ExecutionInterrupted"
        async with workshop.worker("gpu0-b"):
            for name in THREE:
                end = await workshop.house.ended(name)
                assert (end.outcome, end.attempt) == ("succeeded", 2)


@pytest.mark.covers("P14")
async def test_runs_of_two_tenants_with_the_same_id_are_kept_apart(tmp_path):
    async with working(tmp_path) as (workshop, agent):
        for tenant in ("t", "u"):
            await workshop.submit("p1", do(("step", 20), ("save", "p1", tenant)), tenant=tenant)
        await until(lambda: len(ends_of(workshop)) == 2)
        assert agent.jobs == {}
    assert [end.outcome for end in ends_of(workshop)] == ["succeeded", "succeeded"]
    shown = [event for event in workshop.news("p1") if isinstance(event, NodeFinished)]
    made = {one.artifact.split("/")[1]: one.artifact for e in shown for one in e.outputs}
    for tenant in ("t", "u"):
        assert await workshop.artifacts.get(made[tenant]) == tenant.encode()


def ends_of(workshop: Workshop) -> list[RunEnded]:
    return [event for event in workshop.house.run_events("p1") if isinstance(event, RunEnded)]
