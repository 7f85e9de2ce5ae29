"""A worker that holds the next lease while the files of the run before are still made."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGKILL

import pytest

from libs.events.prompt import CancelRequested
from services.gpu_worker.agent import Agent
from services.gpu_worker.settings import WorkerSettings
from tests.integration.gpu_worker.test_agent_beside import begun, do, grants
from tests.integration.gpu_worker.workshop import Workshop
from tests.integration.scheduler.house import tell, until

# All steps are taken; the file comes long after.
FINISHING = do(("computed",), ("step", 60), ("save", "a", "late"))


@asynccontextmanager
async def working(
    tmp_path: Path, *, overlap: bool = True, profile: str = "exact"
) -> AsyncIterator[tuple[Workshop, Agent]]:
    settings = WorkerSettings.model_validate(
        {
            "threads": 1, "scan_seconds": 0.05, "stop_seconds": 1.0, "ask_seconds": 1.0,
            "device": "cpu", "profile": profile, "overlap": overlap,
        }
    )  # fmt: skip
    workshop = Workshop(tmp_path, settings=settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(workshop.house.scheduler())
        await stack.enter_async_context(workshop.moderation())
        agent = await stack.enter_async_context(workshop.worker())
        yield workshop, agent


@pytest.mark.parametrize("profile", ["exact", "fast"])
async def test_the_next_run_begins_while_files_are_made_and_only_one_computes(tmp_path, profile):
    async with working(tmp_path, profile=profile) as (workshop, agent):
        await workshop.submit("p1", FINISHING)
        await workshop.submit("p2", do(("step", 10), ("save", "a")))
        await workshop.submit("p3", do(("save", "a")))
        await begun(workshop, "p1", "p2")
        assert workshop.kinds("p1") == ["ExecutionStarted"]
        assert set(agent.jobs) == {("t", "p1", 1), ("t", "p2", 1)}
        for name in ("p1", "p2", "p3"):
            end = await workshop.house.ended(name)
            assert (end.outcome, end.attempt) == ("succeeded", 1)
            assert grants(workshop, name) == 1


async def test_kill_9_of_the_engine_in_the_overlap_requeues_both_and_each_ends_once(tmp_path):
    async with working(tmp_path) as (workshop, agent):
        await workshop.submit("p1", FINISHING)
        await workshop.submit("p2", do(("step", 40), ("save", "a")))
        await begun(workshop, "p1", "p2")
        pid = (await agent.engine.ready())["pid"]
        assert isinstance(pid, int)
        os.kill(pid, SIGKILL)
        for name in ("p1", "p2"):
            end = await workshop.house.ended(name)
            assert (end.outcome, end.attempt) == ("succeeded", 2)
            assert workshop.kinds(name).count("NodeFinished") == 1


@pytest.mark.parametrize(("cancelled", "other"), [("p1", "p2"), ("p2", "p1")])
async def test_a_cancel_in_the_overlap_is_that_of_one_run(tmp_path, cancelled, other):
    async with working(tmp_path) as (workshop, agent):
        pid = (await agent.engine.ready())["pid"]
        await workshop.submit("p1", FINISHING)
        await workshop.submit("p2", do(("step", 60), ("save", "a")))
        await begun(workshop, "p1", "p2")
        await tell(workshop.house.bus, CancelRequested(prompt_id=cancelled, by="u1"))
        assert (await workshop.house.ended(cancelled)).outcome == "cancelled"
        end = await workshop.house.ended(other)
        assert (end.outcome, end.attempt) == ("succeeded", 1)
        assert (await agent.engine.ready())["pid"] == pid
    assert "NodeFinished" not in workshop.kinds(cancelled)


async def test_without_overlap_a_run_waits_until_the_one_before_is_over(tmp_path):
    async with working(tmp_path, overlap=False) as (workshop, agent):
        await workshop.submit("p1", FINISHING)
        await workshop.submit("p2", do(("save", "a")))
        await begun(workshop, "p1")
        await until(lambda: any(job.computed for job in agent.jobs.values()))
        await asyncio.sleep(0.3)
        assert (workshop.news("p2"), set(agent.jobs)) == ([], {("t", "p1", 1)})
        assert (await workshop.house.ended("p2")).outcome == "succeeded"
