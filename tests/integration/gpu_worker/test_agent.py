"""The agent with an engine that does as it is told, on a bus where all else is told twice."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from libs.core.errors import Unavailable
from libs.core.jsonvalue import Json, JsonObject
from libs.events.execution import ExecutionFailed, ExecutionFinished, NodeFinished
from libs.events.prompt import CancelRequested
from libs.events.signals import Heartbeat, Progress
from libs.events.worker import WeightsListed, WorkerRegistered, WorkerStopped
from libs.telemetry import tracing
from libs.telemetry.otlp import SpanRecorder
from services.gpu_worker.agent import Agent
from tests.integration.gpu_worker.workshop import Workshop
from tests.integration.scheduler.house import TENANT, House, tell, until


@asynccontextmanager
async def working(tmp_path: Path, **more: Any) -> AsyncIterator[tuple[Workshop, Agent]]:
    """Give a workshop with a scheduler, moderation and one worker."""
    workshop = Workshop(tmp_path, **more)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(workshop.house.scheduler())
        await stack.enter_async_context(workshop.moderation())
        agent = await stack.enter_async_context(workshop.worker())
        yield workshop, agent


def do(*words: tuple[Json, ...]) -> JsonObject:
    return {"do": [list(word) for word in words]}


async def test_a_run_is_executed_and_its_output_delivered(tmp_path):
    async with working(tmp_path) as (workshop, _):
        await workshop.submit("p1", do(("step", 3), ("save", "ComfyUI", "hello")))
        assert (await workshop.house.ended("p1")).outcome == "succeeded"
    started, shown, finished = workshop.news("p1")
    assert isinstance(shown, NodeFinished)
    (output,) = shown.outputs
    assert (output.filename, output.kind, output.width) == ("ComfyUI_00001_.png", "image", 1)
    assert await workshop.artifacts.get(output.artifact) == b"hello"
    assert output.artifact == f"quarantine/{TENANT}/p1/1/0-0"
    assert shown.ui is not None
    assert "secret" not in shown.model_dump_json()
    assert await workshop.vault.open(TENANT, shown.ui) == {"text": ["a secret word"]}
    assert isinstance(finished, ExecutionFinished)
    assert (finished.outputs, finished.executed) == (1, ("9", "10"))
    assert started.worker_id == finished.worker_id == "gpu0-a"  # type: ignore[attr-defined]


async def test_events_and_signals_of_an_attempt_share_one_order_without_a_gap(tmp_path):
    async with working(tmp_path) as (workshop, _):
        heard: list[Progress] = []

        async def listen() -> None:
            async for signal in workshop.house.bus.signals(f"sig.v1.{TENANT}.progress.p1"):
                step = Progress.model_validate_json(signal.data)
                heard.append(step)

        listening = asyncio.create_task(listen())
        await workshop.submit("p1", do(("step", 5), ("save", "a")))
        await workshop.house.ended("p1")
        await workshop.house.bus.drain()
        listening.cancel()
    orders = [step.order for step in heard] + [e.order for e in workshop.news("p1")]  # type: ignore[attr-defined]
    assert sorted(orders) == list(range(1, len(orders) + 1))
    assert [step.value for step in heard if step.total == 5] == [1, 2, 3, 4, 5]
    assert [step.node_id for step in heard if step.announces] == ["9", "10"]


async def test_file_names_are_counted_per_user_folder_and_prefix(tmp_path):
    async with working(tmp_path) as (workshop, _):
        await workshop.submit("p1", do(("save", "a"), ("save", "a"), ("save", "sub/a")))
        await workshop.submit("p2", do(("save", "a")))
        await workshop.house.ended("p1")
        await workshop.house.ended("p2")
    names = [
        f"{output.subfolder}/{output.filename}"
        for prompt_id in ("p1", "p2")
        for event in workshop.news(prompt_id)
        if isinstance(event, NodeFinished)
        for output in event.outputs
    ]
    assert sorted(names) == ["/a_00001_.png", "/a_00002_.png", "/a_00003_.png", "sub/a_00001_.png"]


async def test_a_prefix_that_escapes_fails_the_run_and_keeps_nothing(tmp_path):
    async with working(tmp_path) as (workshop, _):
        await workshop.submit("p1", do(("save", "../../etc/x")))
        assert (await workshop.house.ended("p1")).outcome == "failed"
    assert workshop.kinds("p1") == ["ExecutionStarted", "ExecutionFailed"]


async def test_a_node_that_raises_fails_the_run_and_only_its_author_can_read_why(tmp_path):
    async with working(tmp_path) as (workshop, _):
        await workshop.submit("p1", do(("step", 1), ("fail", "a secret reason")))
        end = await workshop.house.ended("p1")
    assert (end.outcome, end.reason) == ("failed", "ValueError in node 10 (Fake)")
    failed = workshop.news("p1")[-1]
    assert isinstance(failed, ExecutionFailed)
    assert (failed.retryable, failed.executed) == (False, ("9",))
    assert "secret" not in failed.model_dump_json()
    detail = await workshop.vault.open(TENANT, failed.detail)
    assert isinstance(detail, dict)
    assert detail["exception_message"] == "a secret reason"


async def test_an_engine_that_dies_is_replaced_and_the_run_succeeds_at_the_next_attempt(tmp_path):
    async with working(tmp_path) as (workshop, agent):
        before = (await agent.engine.ready())["pid"]
        await workshop.submit("p1", do(("crash_once",), ("save", "a")))
        end = await workshop.house.ended("p1")
        assert (end.outcome, end.attempt) == ("succeeded", 2)
        assert (await agent.engine.ready())["pid"] != before
    failed = workshop.news("p1")[1]
    assert isinstance(failed, ExecutionFailed)
    assert (failed.exception_type, failed.retryable, failed.node_id) == ("EngineCrashed", True, "9")


async def test_what_an_engine_did_before_it_died_is_in_the_trace(tmp_path):
    kept = InMemorySpanExporter()
    tracing.set_up_tracing("test", SpanRecorder(SimpleSpanProcessor(kept)))
    try:
        async with working(tmp_path) as (workshop, _):
            with tracing.root("POST /prompt"):
                await workshop.submit("p1", do(("step", 2), ("crash_once",), ("save", "a")))
            assert (await workshop.house.ended("p1")).attempt == 2
    finally:
        tracing.set_up_tracing("", None)
    spans = {span.context.span_id: span for span in kept.get_finished_spans() if span.context}
    first, last = (span for span in spans.values() if span.name == "node Fake")
    told = [dict(span.attributes or {}) for span in (first, last)]
    assert [facts["studio.node_id"] for facts in told] == ["9", "10"]
    assert [facts["studio.attempt"] for facts in told] == [1, 1]
    assert (first.status.description, last.status.description) == (None, "EngineCrashed")
    assert {spans[span.parent.span_id].name for span in (first, last) if span.parent} == {"execute"}


async def test_an_engine_that_always_dies_fails_the_run_after_three_attempts(tmp_path):
    async with working(tmp_path) as (workshop, _):
        await workshop.submit("p1", do(("crash",)))
        end = await workshop.house.ended("p1")
    assert (end.outcome, end.attempt) == ("failed", 3)
    assert "EngineCrashed" in end.reason


async def test_kill_9_of_the_engine_in_the_middle_of_a_step(tmp_path):
    async with working(tmp_path) as (workshop, agent):
        await workshop.submit("p1", do(("step", 20), ("save", "a")))
        await until(lambda: agent.job is not None and workshop.news("p1"))
        pid = (await agent.engine.ready())["pid"]
        assert isinstance(pid, int)
        os.kill(pid, SIGKILL)
        end = await workshop.house.ended("p1")
    assert (end.outcome, end.attempt) == ("succeeded", 2)


async def test_an_idle_engine_that_dies_harms_no_run(tmp_path):
    async with working(tmp_path) as (workshop, agent):
        agent.engine.kill()
        await workshop.submit("p1", do(("save", "a")))
        assert (await workshop.house.ended("p1")).outcome == "succeeded"


async def test_a_cancel_stops_the_engine_between_two_steps(tmp_path):
    async with working(tmp_path) as (workshop, agent):
        pid = (await agent.engine.ready())["pid"]
        await workshop.submit("p1", do(("step", 500), ("save", "a")))
        await until(lambda: workshop.news("p1"))
        await tell(workshop.house.bus, CancelRequested(prompt_id="p1", by="u1"))
        assert (await workshop.house.ended("p1")).outcome == "cancelled"
        assert (await agent.engine.ready())["pid"] == pid
    assert workshop.kinds("p1") == ["ExecutionStarted", "ExecutionInterrupted"]


async def test_an_engine_that_does_not_stop_is_killed_and_the_next_run_goes_on(tmp_path):
    async with working(tmp_path) as (workshop, agent):
        await workshop.submit("p1", do(("hang",)))
        await until(lambda: workshop.news("p1"))
        await tell(workshop.house.bus, CancelRequested(prompt_id="p1", by="u1"))
        assert (await workshop.house.ended("p1")).outcome == "cancelled"
        await workshop.submit("p2", do(("save", "a")))
        assert (await workshop.house.ended("p2")).outcome == "succeeded"
        assert agent.job is None or agent.job.outlet.prompt_id != "p1"


async def test_heartbeats_go_on_while_the_engine_is_busy(tmp_path):
    async with working(tmp_path, house=House(silence_seconds=0.5)) as (workshop, _):
        beats: list[Heartbeat] = []

        async def listen() -> None:
            async for signal in workshop.house.bus.signals("sig.v1.worker.*"):
                beat = Heartbeat.model_validate_json(signal.data)
                beats.append(beat)

        listening = asyncio.create_task(listen())
        await workshop.submit("p1", do(("step", 1, 1.5), ("save", "a")))
        end = await workshop.house.ended("p1")
        listening.cancel()
    assert (end.outcome, end.attempt) == ("succeeded", 1)
    assert len([beat for beat in beats if beat.prompt_id == "p1"]) >= 8


async def test_a_worker_that_leaves_finishes_what_it_has_in_hand(tmp_path):
    async with working(tmp_path) as (workshop, _):
        async with workshop.worker("gpu1-b") as leaving:
            await workshop.submit("p1", do(("step", 30), ("save", "a")))
            await workshop.submit("p2", do(("step", 30), ("save", "a")))
            await until(lambda: leaving.job is not None)
            mine = leaving.job
            assert mine is not None
        end = await workshop.house.ended(mine.outlet.prompt_id)
        assert (end.outcome, end.attempt) == ("succeeded", 1)
    said = workshop.house.bus.journal_events("evt.v1._sys.worker.gpu1-b")
    assert isinstance(said[0], WorkerRegistered)
    assert isinstance(said[-1], WorkerStopped)


async def test_a_worker_that_leaves_hands_back_what_takes_too_long(tmp_path):
    workshop = Workshop(tmp_path, drain_seconds=2.2)
    async with workshop.house.scheduler(), workshop.moderation():
        async with workshop.worker("gpu0-a"):
            await workshop.submit("p1", do(("step", 25, 0.1), ("save", "a")))
            await until(lambda: workshop.news("p1"))
        assert workshop.kinds("p1")[-1] == "ExecutionInterrupted"
        await until(lambda: "LeaseExpired" in workshop.house.kinds("p1"))
        async with workshop.worker("gpu0-b"):
            end = await workshop.house.ended("p1")
    assert (end.outcome, end.attempt) == ("succeeded", 2)


async def test_a_new_model_file_appears_by_itself(tmp_path):
    async with working(tmp_path) as (workshop, _):
        path = tmp_path / "loras" / "new.safetensors"
        await until(path.parent.is_dir)
        path.write_bytes(b"x")

        def listed() -> bool:
            events = workshop.house.bus.journal_events("evt.v1._sys.worker.gpu0-a")
            lists = [event for event in events if isinstance(event, WeightsListed)]
            return bool(lists) and "loras" in lists[-1].weights

        await until(listed)
        await workshop.submit("p1", do(("save", "a")), needs=("loras/new.safetensors",))
        assert (await workshop.house.ended("p1")).outcome == "succeeded"
    lists = workshop.house.bus.journal_events("evt.v1._sys.worker.gpu0-a")
    assert len([event for event in lists if isinstance(event, WeightsListed)]) == 2


async def test_a_worker_that_has_not_looked_at_its_disk_asks_for_nothing(tmp_path, monkeypatch):
    async with working(tmp_path) as (workshop, agent):
        scan = agent.folder.scan
        looked = asyncio.Event()

        def slow():
            found = scan()
            looked.set()
            time.sleep(0.3)
            return found

        monkeypatch.setattr(agent.folder, "scan", slow)
        path = tmp_path / "vae" / "there.pt"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
        os.utime(path, (1, 1))
        await workshop.submit("p1", do(("has", "vae", "there.pt")))
        assert (await workshop.house.ended("p1")).outcome == "succeeded"
        assert looked.is_set()


async def test_an_outage_of_the_bus_delays_a_run_and_loses_nothing(tmp_path, monkeypatch):
    async with working(tmp_path) as (workshop, agent):
        journal = agent.bus.journal
        real, failures = journal.append, 3

        async def append(*args, **more):
            nonlocal failures
            if agent.job is not None and failures:
                failures -= 1
                raise Unavailable("no bus")
            return await real(*args, **more)

        monkeypatch.setattr(journal, "append", append)
        await workshop.submit("p1", do(("step", 2), ("save", "a")))
        end = await workshop.house.ended("p1")
    assert failures == 0
    assert (end.outcome, end.attempt) == ("succeeded", 1)
    assert workshop.kinds("p1") == ["ExecutionStarted", "NodeFinished", "ExecutionFinished"]


async def test_an_answer_that_was_lost_after_the_write_is_not_written_twice(tmp_path, monkeypatch):
    async with working(tmp_path) as (workshop, agent):
        journal = agent.bus.journal
        real, lost = journal.append, 2

        async def append(*args, **more):
            nonlocal lost
            written = await real(*args, **more)
            if agent.job is not None and lost:
                lost -= 1
                raise Unavailable("no answer")
            return written

        monkeypatch.setattr(journal, "append", append)
        await workshop.submit("p1", do(("save", "a")))
        end = await workshop.house.ended("p1")
    assert (end.outcome, end.attempt) == ("succeeded", 1)
    assert workshop.kinds("p1") == ["ExecutionStarted", "NodeFinished", "ExecutionFinished"]


@pytest.mark.parametrize("runs", [8])
async def test_many_runs_on_two_workers_end_once_each(tmp_path, runs):
    async with working(tmp_path) as (workshop, _), workshop.worker("gpu1-b"):
        names = [f"p{number}" for number in range(runs)]
        for name in names:
            await workshop.submit(name, do(("step", 2), ("save", "a")))
        for name in names:
            end = await workshop.house.ended(name)
            assert (end.outcome, end.attempt) == ("succeeded", 1)
    files = {
        output.filename
        for name in names
        for event in workshop.news(name)
        if isinstance(event, NodeFinished)
        for output in event.outputs
    }
    assert len(files) == runs
