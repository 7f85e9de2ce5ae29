"""A worker on a bus in memory, with a scheduler beside it and moderation played."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from libs.artifacts.keys import output_key
from libs.artifacts.memory import MemoryArtifacts
from libs.core.jsonvalue import JsonObject
from libs.events.base import Event
from libs.events.execution import NodeFinished
from libs.events.moderation import OutputReleased
from libs.sealed.vault import MemoryVault
from libs.weights.folder import ModelFolder
from services.gpu_worker.agent import Agent
from services.gpu_worker.child import EngineChild, engine_command, engine_environment
from services.gpu_worker.files import Stored
from services.gpu_worker.settings import WorkerSettings
from tests.integration.scheduler.house import TENANT, House, about, tell
from tests.unit.services.scheduler import told

FAKE = Path(__file__).with_name("fake_engine.py")
USER = "u1"


def fake_command(fd: int) -> tuple[str, ...]:
    """Return how the engine of the tests is started."""
    return (sys.executable, str(FAKE), str(fd))


@dataclass
class MemoryShelf:
    """Uploads of a test."""

    kept: dict[tuple[str, str, str, str], Stored] = field(default_factory=dict)

    async def find(self, tenant: str, user: str, kind: str, name: str) -> Stored | None:
        """Return where a file lies."""
        return self.kept.get((tenant, user, kind, name))


@dataclass
class Workshop:
    """All that a worker stands on, in memory, but for the engine, which is a process."""

    models: Path
    house: House = field(default_factory=House)
    artifacts: MemoryArtifacts = field(default_factory=MemoryArtifacts)
    shelf: MemoryShelf = field(default_factory=MemoryShelf)
    settings: WorkerSettings = field(
        default_factory=lambda: WorkerSettings(
            threads=1, scan_seconds=0.05, stop_seconds=1.0, ask_seconds=1.0, device="cpu"
        )
    )
    drain_seconds: float = 5.0

    def __post_init__(self) -> None:
        self.vault = MemoryVault(self.artifacts)

    def make(
        self, worker_id: str = "gpu0-a", command: Callable[[int], tuple[str, ...]] = fake_command
    ) -> Agent:
        """Return a worker that does not run yet."""
        settings = self.settings.model_copy(update={"slot": worker_id.rpartition("-")[0]})
        return Agent(
            worker_id=worker_id,
            bus=self.house.bus.another(worker_id),
            artifacts=self.artifacts,
            vault=self.vault,
            shelf=self.shelf,
            engine=EngineChild(engine_environment(self.settings), command),
            folder=ModelFolder(self.models),
            settings=settings,
            now=lambda: datetime.now(UTC),
            heartbeat_seconds=0.1,
            drain_seconds=self.drain_seconds,
        )

    @asynccontextmanager
    async def worker(
        self, worker_id: str = "gpu0-a", *, real: bool = False
    ) -> AsyncIterator[Agent]:
        """Run a worker with the engine of the tests, or with the real one."""
        agent = self.make(worker_id, engine_command if real else fake_command)
        async with self.running(agent):
            yield agent

    @asynccontextmanager
    async def running(self, agent: Agent) -> AsyncIterator[Agent]:
        """Run a worker that was made."""
        task = asyncio.create_task(agent.run())
        try:
            yield agent
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @asynccontextmanager
    async def moderation(self) -> AsyncIterator[None]:
        """Release every output as soon as it is told of, each twice."""
        task = asyncio.create_task(self._release())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def submit(self, prompt_id: str, graph: JsonObject, *outputs: str, **more: Any) -> None:
        """Hand a workflow in, valid, cleared and paid."""
        extra: JsonObject = {"extra_pnginfo": {"workflow": {"id": prompt_id, "nodes": []}}}
        if "profile" in more:
            extra["profile"] = more.pop("profile")
        workflow: JsonObject = {"prompt": graph, "extra_data": extra, "targets": []}
        tenant, user = more.pop("tenant", TENANT), more.pop("user", USER)
        sealed = await self.vault.seal(tenant, user, workflow)
        preview_method = more.pop("preview_method", None)
        given = {"workflow": sealed, "user_id": user, "preview_method": preview_method}
        submitted = about(told.submitted, prompt_id).model_copy(update=given)
        validated = told.validated(prompt_id, *more.pop("needs", ())).model_copy(
            update={"outputs": outputs or ("9",)}
        )
        answers = (about(told.cleared, prompt_id), about(told.held, prompt_id))
        await tell(self.house.bus, submitted, validated, *answers, tenant=tenant)

    def news(self, prompt_id: str) -> list[Event]:
        """Return what workers wrote about a prompt."""
        return self.house.bus.journal_events(f"evt.v1.*.execution.{prompt_id}")

    def kinds(self, prompt_id: str) -> list[str]:
        """Return the names of what workers wrote about a prompt."""
        return [type(event).__name__ for event in self.news(prompt_id)]

    async def _release(self) -> None:
        async for batch in self.house.bus.feed(start_seq=1, filters=("evt.v1.*.execution.*",)):
            for recorded in batch.events:
                if isinstance(recorded.event, NodeFinished):
                    await self._release_all(recorded.tenant, recorded.event)

    async def _release_all(self, tenant: str, event: NodeFinished) -> None:
        for output in event.outputs:
            place = output.artifact.rpartition("/")[2]
            released = output_key(tenant, USER, event.prompt_id, event.attempt, place)
            await self.artifacts.copy(output.artifact, released)
            fact = OutputReleased(
                prompt_id=event.prompt_id,
                attempt=event.attempt,
                node_id=event.node_id,
                index=output.index,
                artifact=released,
                sha256=output.sha256,
            )
            await tell(self.house.bus, fact, tenant=tenant)
