"""Worker processes on real NATS, PostgreSQL and S3, paused and killed as operators never do."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from libs.chassis.resources import open_resources, provision
from libs.chassis.service import Resources
from libs.core.errors import Conflict
from libs.core.jsonvalue import JsonObject
from libs.events.base import Event, subject, subject_of
from libs.events.envelope import Cause
from libs.events.execution import ExecutionEvent, NodeFinished
from libs.events.moderation import OutputReleased
from libs.events.run import LeaseGranted, RunEnded
from libs.settings import Settings
from services.scheduler.main import build as build_scheduler
from services.scheduler.settings import SchedulerSettings
from tests.integration.gpu_worker.workshop import USER
from tests.integration.scheduler.house import about
from tests.unit.services.scheduler import told

SCRIPT = Path(__file__).with_name("worker_process.py")
TENANT = "zombies"


@dataclass
class Yard:
    """Real servers, a scheduler on them, and worker processes to hurt."""

    resources: Resources
    environment: dict[str, str]
    folder: Path

    async def start(self, slot: str) -> asyncio.subprocess.Process:
        """Start a worker process of its own group."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, str(SCRIPT), slot, str(self.folder)),
            env={**os.environ, **self.environment},
            start_new_session=True,
        )

    async def submit(self, document: JsonObject) -> str:
        """Hand in a workflow that is valid, cleared and paid."""
        prompt_id = uuid4().hex
        workflow: JsonObject = {"prompt": document, "extra_data": {}, "targets": []}
        sealed = await self.resources.vault.seal(TENANT, USER, workflow)
        submitted = about(told.submitted, prompt_id).model_copy(update={"workflow": sealed})
        held = about(told.held, prompt_id)
        for event in (submitted, told.validated(prompt_id), about(told.cleared, prompt_id), held):
            await self.tell(event)
        return prompt_id

    async def tell(self, event: Event) -> None:
        """Write an event of a service that is played."""
        while True:
            loaded = await self.resources.bus.journal.load(subject_of(TENANT, event))
            try:
                await self.resources.bus.journal.append(TENANT, [event], loaded.last_seq, Cause())
            except Conflict:
                continue
            return

    async def events(self, kind: str, prompt_id: str) -> list[Event]:
        """Return what was written about a prompt."""
        loaded = await self.resources.bus.journal.load(subject(TENANT, kind, prompt_id))
        return [recorded.event for recorded in loaded.events]

    async def leases(self, prompt_id: str) -> list[LeaseGranted]:
        """Return the leases that were granted."""
        return [e for e in await self.events("run", prompt_id) if isinstance(e, LeaseGranted)]

    async def release(self, prompt_id: str) -> list[NodeFinished]:
        """Play moderation: release everything that was told of so far, once."""
        found = await self.events("execution", prompt_id)
        shown = [event for event in found if isinstance(event, NodeFinished)]
        for event in shown:
            for output in event.outputs:
                fact = told.released(event.attempt, event.node_id, output.index)
                released: OutputReleased = fact.model_copy(update={"prompt_id": prompt_id})
                await self.tell(released)
        return shown

    async def end(self, prompt_id: str) -> RunEnded | None:
        """Return the end of the run, if it has ended."""
        ends = [e for e in await self.events("run", prompt_id) if isinstance(e, RunEnded)]
        assert len(ends) <= 1
        return ends[0] if ends else None


async def until(holds: Callable[[], Awaitable[object]], seconds: float = 90) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.fixture
async def yard(studio_settings: Settings, tmp_path: Path) -> AsyncIterator[Yard]:
    key = base64.b64encode(os.urandom(32)).decode()
    settings = studio_settings.model_copy(
        update={"master_key": SecretStr(key), "lease_seconds": 2.0, "heartbeat_seconds": 0.3}
    )
    environment = {
        "NATS_URL": settings.nats_url,
        "DATABASE_URL": settings.database_url,
        "S3_ENDPOINT": settings.s3_endpoint,
        "S3_ACCESS_KEY": settings.s3_access_key,
        "S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "S3_OUTPUT_BUCKET": settings.s3_output_bucket,
        "STUDIO_MASTER_KEY": key,
        "STUDIO_HOME": str(tmp_path),
        "STUDIO_HEARTBEAT_SECONDS": "0.3",
    }
    await provision(settings)
    async with AsyncExitStack() as stack:
        resources = await stack.enter_async_context(open_resources(settings, "scheduler"))
        await stack.enter_async_context(_running(resources))
        yield Yard(resources, environment, tmp_path)


@asynccontextmanager
async def _running(resources: Resources) -> AsyncIterator[None]:
    service = build_scheduler(resources, SchedulerSettings())
    tasks = [asyncio.ensure_future(task()) for task in service.tasks.values()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _finish(process: asyncio.subprocess.Process) -> int:
    process.send_signal(signal.SIGCONT)
    process.terminate()
    return await asyncio.wait_for(process.wait(), 30)


async def test_a_paused_agent_that_wakes_up_after_its_lease_was_granted_anew_delivers_nothing(yard):
    zombie = await yard.start("gpu0")
    prompt_id = await yard.submit({"do": [["step", 30, 0.1], ["save", "a"]]})
    await until(lambda: yard.events("execution", prompt_id))
    zombie.send_signal(signal.SIGSTOP)
    other = await yard.start("gpu1")

    async def granted_anew() -> bool:
        return len(await yard.leases(prompt_id)) == 2

    await until(granted_anew)
    # Its engine was not paused: when the agent wakes up, a finished picture waits for it.
    await asyncio.sleep(2)
    zombie.send_signal(signal.SIGCONT)

    async def ended() -> bool:
        await yard.release(prompt_id)
        return await yard.end(prompt_id) is not None

    await until(ended)
    await asyncio.sleep(1)
    end = await yard.end(prompt_id)
    assert end is not None
    assert (end.outcome, end.attempt) == ("succeeded", 2)
    first = [
        type(event).__name__
        for event in await yard.events("execution", prompt_id)
        if isinstance(event, ExecutionEvent) and event.attempt == 1
    ]
    assert first == ["ExecutionStarted"]
    quarantine = f"quarantine/{TENANT}/{prompt_id}"
    assert await yard.resources.artifacts.info(f"{quarantine}/1/0-0") is None
    assert await yard.resources.artifacts.info(f"{quarantine}/2/0-0") is not None
    assert await _finish(zombie) == 0
    assert await _finish(other) == 0


async def test_a_killed_agent_takes_its_engine_along_and_its_run_goes_to_its_successor(yard):
    first = await yard.start("gpu0")
    prompt_id = await yard.submit({"do": [["pid"], ["step", 20, 0.1], ["save", "a"]]})
    await until(lambda: yard.events("execution", prompt_id))
    pids = yard.folder / "engine.pid"
    await until(lambda: asyncio.to_thread(pids.exists))
    engine = int(pids.read_text())
    first.kill()
    await first.wait()
    second = await yard.start("gpu0")

    async def gone() -> bool:
        return _state(engine) == "Z"

    await until(gone)

    async def ended() -> bool:
        await yard.release(prompt_id)
        return await yard.end(prompt_id) is not None

    await until(ended)
    end = await yard.end(prompt_id)
    assert end is not None
    assert (end.outcome, end.attempt) == ("succeeded", 2)
    assert await _finish(second) == 0


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
