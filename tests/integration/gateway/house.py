"""A gateway on a real HTTP port, the real recorder, and the other services by their events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import uvicorn
import websockets
from sqlalchemy.ext.asyncio import AsyncEngine
from websockets.asyncio.client import ClientConnection

from libs.artifacts.keys import output_key, quarantine_key
from libs.artifacts.memory import MemoryArtifacts
from libs.bus.memory import MemoryBus
from libs.chassis.service import Resources, Service
from libs.core.jsonvalue import Json
from libs.events.base import SYSTEM_TENANT, Event, subject_of
from libs.events.envelope import Cause, Recorded
from libs.events.execution import (
    ExecutionFailed,
    ExecutionFinished,
    ExecutionInterrupted,
    ExecutionStarted,
    NodeFinished,
    Output,
)
from libs.events.moderation import OutputBlocked, OutputReleased
from libs.events.prompt import PromptSubmitted
from libs.events.run import LeaseGranted, Outcome, RunEnded, RunQueued, RunRefused
from libs.events.signals import Progress, progress_subject
from libs.events.verdict import PromptRejected, PromptValidated, WorkEstimate
from libs.events.worker import WeightsFile, WeightsListed, WorkerRegistered
from libs.sealed.vault import MemoryVault
from libs.settings import Settings
from services.gateway.main import build_app, build_gateway
from services.gateway.settings import GatewaySettings
from services.recorder.main import build as build_recorder

GRAPH: dict[str, Any] = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "demo.safetensors"}},
    "2": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
}
HIP_GRAPH: dict[str, Any] = {
    "version": 1,
    "nodes": {
        "2": {"type": "EmptyImage", "inputs": {"width": 64, "height": 64}},
        "3": {"type": "SaveImage", "inputs": {"images": ["2", "IMAGE"], "filename_prefix": "x"}},
    },
}


@dataclass
class House:
    """What tests act through: HTTP, sockets, and the events of everybody else."""

    resources: Resources
    bus: MemoryBus
    artifacts: MemoryArtifacts
    vault: MemoryVault
    url: str
    http: httpx.AsyncClient
    gateway: Any
    recorder: Service
    number: int = 0
    orders: dict[str, int] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def append(self, event: Event, tenant: str = "local") -> Recorded[Event]:
        """Write an event as its owner would."""
        loaded = await self.bus.journal.load(subject_of(tenant, event))
        written = await self.bus.journal.append(tenant, [event], loaded.last_seq, Cause())
        return written[0]

    async def submitted(self, prompt_id: str | None = None) -> Recorded[Any]:
        """Wait for a submission and return it; on the bus in memory only."""
        for _ in range(400):
            for recorded in self.bus.recorded():
                event = recorded.event
                if isinstance(event, PromptSubmitted) and prompt_id in (None, event.prompt_id):
                    return recorded
            await asyncio.sleep(0.005)
        raise AssertionError("nothing was submitted")

    async def accept(self, prompt_id: str, tenant: str = "local", node_errors: Json = None) -> None:
        """Let validator and scheduler say yes."""
        sealed = await self.vault.seal(tenant, "any", node_errors) if node_errors else None
        await self.append(
            PromptValidated(
                prompt_id=prompt_id,
                account="local",
                tier="enterprise",
                outputs=("3",),
                nodes=3,
                estimate=WorkEstimate(megapixel_steps=1, images=1, steps=1),
                node_errors=sealed,
            ),
            tenant,
        )
        self.number += 1
        queued = RunQueued(
            prompt_id=prompt_id, number=self.number, tier="enterprise", account="local"
        )
        await self.append(queued, tenant)

    async def reject(self, prompt_id: str, detail: Json, status: int = 400) -> None:
        """Let validator and scheduler say no."""
        sealed = await self.vault.seal("local", "any", detail)
        code = "prompt_outputs_failed_validation"
        await self.append(
            PromptRejected(prompt_id=prompt_id, status=status, code=code, detail=sealed)
        )
        await self.refuse(prompt_id, status, code)

    async def refuse(
        self, prompt_id: str, status: int, code: str, retry_after_seconds: int | None = None
    ) -> None:
        """Let the scheduler say no."""
        await self.append(
            RunRefused(
                prompt_id=prompt_id,
                status=status,
                code=code,
                message=f"refused: {code}",
                retry_after_seconds=retry_after_seconds,
            )
        )

    def accept_all(self) -> None:
        """Accept every submission from now on."""
        self.react(PromptSubmitted, lambda r: self.accept(r.event.prompt_id, r.tenant))

    def react(self, kind: type[Event], handler: Callable[[Recorded[Any]], Awaitable[Any]]) -> None:
        """Run `handler` for each event of one class, from what the gateway has not read on."""
        start = self.gateway.live._position + 1

        async def follow() -> None:
            async for batch in self.bus.feed(start_seq=start):
                for recorded in batch.events:
                    if isinstance(recorded.event, kind):
                        await handler(recorded)

        self.tasks.append(asyncio.create_task(follow()))

    async def lease(self, prompt_id: str, attempt: int = 1, tenant: str = "local") -> None:
        """Give the run to a worker."""
        self.orders[prompt_id] = 0
        await self.append(
            LeaseGranted(
                prompt_id=prompt_id,
                worker_id="ada",
                attempt=attempt,
                expires_at=datetime.now(UTC) + timedelta(seconds=30),
            ),
            tenant,
        )

    def order(self, prompt_id: str) -> int:
        """Return the next place in the attempt."""
        self.orders[prompt_id] = self.orders.get(prompt_id, 0) + 1
        return self.orders[prompt_id]

    async def start(
        self, prompt_id: str, cached: tuple[str, ...] = (), tenant: str = "local"
    ) -> None:
        """Let the worker begin."""
        await self.append(
            ExecutionStarted(
                prompt_id=prompt_id,
                attempt=1,
                worker_id="ada",
                order=self.order(prompt_id),
                cached=cached,
            ),
            tenant,
        )

    async def step(
        self,
        prompt_id: str,
        node_id: str,
        state: str = "running",
        tenant: str = "local",
        **more: Any,
    ) -> None:
        """Send a signal of the worker."""
        progress = Progress(
            prompt_id=prompt_id,
            attempt=1,
            order=self.order(prompt_id),
            node_id=node_id,
            state=state,
            **more,
        )
        data = progress.model_dump_json().encode()
        await self.bus.signal(progress_subject(tenant, prompt_id), data)

    async def output(
        self, prompt_id: str, node_id: str = "3", index: int = 0, data: bytes = b"png", **more: Any
    ) -> Output:
        """Store a file in quarantine, as the worker does."""
        key = quarantine_key("local", prompt_id, 1, 9, index)
        info = await self.artifacts.put(key, data, more.get("mime", "image/png"))
        values: dict[str, Any] = {
            "index": index,
            "kind": "images",
            "filename": f"x_{node_id}_{index:05}_.png",
            "subfolder": "",
            "folder": "output",
            "artifact": key,
            "sha256": info.sha256,
            "mime": "image/png",
            "size_bytes": len(data),
        }
        return Output(**{**values, **more})

    async def node_done(
        self,
        prompt_id: str,
        *outputs: Output,
        node_id: str = "3",
        ui: Json = None,
        tenant: str = "local",
    ) -> None:
        """Let an output node finish."""
        sealed = await self.vault.seal(tenant, "any", ui) if ui is not None else None
        await self.append(
            NodeFinished(
                prompt_id=prompt_id,
                attempt=1,
                worker_id="ada",
                order=self.order(prompt_id),
                node_id=node_id,
                node_type="SaveImage",
                outputs=outputs,
                ui=sealed,
            ),
            tenant,
        )

    async def release(
        self,
        prompt_id: str,
        output: Output,
        node_id: str = "3",
        tenant: str = "local",
        user: str = "local",
    ) -> str:
        """Let moderation release a file."""
        key = output_key(tenant, user, prompt_id, 1, f"9-{output.index}")
        await self.artifacts.copy(output.artifact, key)
        await self.append(
            OutputReleased(
                prompt_id=prompt_id,
                attempt=1,
                node_id=node_id,
                index=output.index,
                artifact=key,
                sha256=output.sha256,
            ),
            tenant,
        )
        return key

    async def block(self, prompt_id: str, output: Output, node_id: str = "3") -> None:
        """Let moderation block a file."""
        await self.append(
            OutputBlocked(
                prompt_id=prompt_id,
                attempt=1,
                node_id=node_id,
                index=output.index,
                category="nudity",
            )
        )

    async def finished(self, prompt_id: str, outputs: int = 1, tenant: str = "local") -> None:
        """Let the worker be done."""
        await self.append(
            ExecutionFinished(
                prompt_id=prompt_id,
                attempt=1,
                worker_id="ada",
                order=self.order(prompt_id),
                compute_ms=12,
                outputs=outputs,
                executed=("1", "2", "3"),
            ),
            tenant,
        )

    async def failed(self, prompt_id: str) -> None:
        """Let a node raise."""
        detail: Json = {
            "exception_message": "out of paint",
            "traceback": ["line 1\n"],
            "current_inputs": {"width": ["64"]},
        }
        await self.append(
            ExecutionFailed(
                prompt_id=prompt_id,
                attempt=1,
                worker_id="ada",
                order=self.order(prompt_id),
                node_id="2",
                node_type="EmptyImage",
                exception_type="PaintError",
                detail=await self.vault.seal("local", "any", detail),
                executed=("1",),
            )
        )

    async def interrupted(self, prompt_id: str) -> None:
        """Let the worker stop because it was told to."""
        await self.append(
            ExecutionInterrupted(
                prompt_id=prompt_id,
                attempt=1,
                worker_id="ada",
                order=self.order(prompt_id),
                node_id="2",
                node_type="EmptyImage",
                executed=("1",),
            )
        )

    async def end(
        self,
        prompt_id: str,
        outcome: Outcome = "succeeded",
        attempt: int = 1,
        tenant: str = "local",
    ) -> None:
        """Let the scheduler end the run."""
        await self.append(
            RunEnded(prompt_id=prompt_id, outcome=outcome, attempt=attempt, reason=""), tenant
        )

    async def run(self, prompt_id: str, data: bytes = b"png", **more: Any) -> Output:
        """Execute a prompt from lease to end, with one output."""
        await self.lease(prompt_id)
        await self.start(prompt_id)
        await self.step(prompt_id, "2", announces=True)
        await self.step(prompt_id, "2", "finished", value=1)
        output = await self.output(prompt_id, data=data, **more)
        await self.step(prompt_id, "3", announces=True)
        await self.node_done(prompt_id, output)
        await self.release(prompt_id, output)
        await self.step(prompt_id, "3", "finished", value=1)
        await self.finished(prompt_id)
        await self.end(prompt_id)
        return output

    async def post(self, client_id: str = "", graph: Any = None, **more: Any) -> str:
        """Hand a prompt in that is accepted; return its id."""
        body = {"prompt": graph or GRAPH, "client_id": client_id, **more}
        answer = await self.http.post("/prompt", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["prompt_id"])

    async def register_worker(self, *checkpoints: str) -> None:
        """Let a worker say which model files it has."""
        files = tuple(WeightsFile(name=name, size_bytes=1, modified_ms=1) for name in checkpoints)
        await self.append(
            WorkerRegistered(worker_id="ada", slot="a", device="cpu", backend="torch", vram_mib=1),
            SYSTEM_TENANT,
        )
        await self.append(
            WeightsListed(worker_id="ada", slot="a", weights={"checkpoints": files}), SYSTEM_TENANT
        )

    def record(self) -> None:
        """Start the recorder."""
        self.tasks += [asyncio.create_task(_run(task)) for task in self.recorder.tasks.values()]

    @contextlib.asynccontextmanager
    async def socket(self, client_id: str, **more: str) -> AsyncIterator[Client]:
        """Open a WebSocket."""
        query = httpx.QueryParams({"clientId": client_id, **more})
        async with websockets.connect(f"{self.url.replace('http', 'ws')}/ws?{query}") as socket:
            yield Client(socket)


@dataclass
class Client:
    """A plain client that reads frames."""

    socket: ClientConnection
    frames: list[dict[str, Any]] = field(default_factory=list)

    async def next(self) -> dict[str, Any]:
        """Return the next text frame."""
        async with asyncio.timeout(5):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        self.frames.append(frame)
        return frame

    async def until(self, kind: str, **data: Any) -> list[dict[str, Any]]:
        """Read up to a frame of that type with these facts; return all that came."""
        while True:
            frame = await self.next()
            found = all(frame["data"].get(name) == value for name, value in data.items())
            if frame["type"] == kind and found:
                return self.frames

    async def silent(self, seconds: float = 0.3) -> bool:
        """Say whether nothing comes for a while."""
        try:
            async with asyncio.timeout(seconds):
                await self.socket.recv()
        except TimeoutError:
            return True
        return False


async def _run(task: Callable[[], Awaitable[None]]) -> None:
    await task()


@contextlib.asynccontextmanager
async def open_house(
    engine: AsyncEngine, *, recording: bool = True, **settings: Any
) -> AsyncIterator[House]:
    """Run a gateway in memory, but for PostgreSQL and the port, until the end of the block."""
    artifacts = MemoryArtifacts()
    resources = Resources(
        bus=MemoryBus("gateway"),
        artifacts=artifacts,
        database=engine,
        vault=MemoryVault(artifacts),
        settings=Settings(),
    )
    async with open_house_on(resources, recording=recording, **settings) as house:
        yield house


@contextlib.asynccontextmanager
async def open_house_on(
    resources: Resources, *, recording: bool = True, **settings: Any
) -> AsyncIterator[House]:
    """Run a gateway on a free port until the end of the block."""
    gateway = build_gateway(
        resources, GatewaySettings(**{"settle_seconds": 5, "catalogue_seconds": 0, **settings})
    )
    live = gateway.live
    tasks = [
        asyncio.create_task(_run(task))
        for task in (
            live.follow,
            live.hear_recorded,
            live.poll_recorded,
            live.hear_progress,
            live.tick,
        )
    ]
    server = uvicorn.Server(
        uvicorn.Config(
            build_app(gateway), port=0, log_level="error", ws_ping_interval=None, lifespan="off"
        )
    )
    serving = asyncio.create_task(server.serve())

    async def started() -> bool:
        return bool(server.started)

    await eventually(started)
    await live.caught_up(10)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        bus: Any = resources.bus
        artifacts: Any = resources.artifacts
        vault: Any = resources.vault
        house = House(
            resources, bus, artifacts, vault, url, http, gateway, build_recorder(resources)
        )
        house.tasks += tasks
        if recording:
            house.record()
        try:
            yield house
        finally:
            gateway.hub.close()
            server.should_exit = True
            await serving
            for task in house.tasks:
                task.cancel()
            await asyncio.gather(*house.tasks, return_exceptions=True)


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Wait until `check` comes true."""
    for _ in range(int(seconds / 0.02)):
        if await check():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come true in time")


def fresh_id() -> str:
    """Return a prompt id that a client may choose."""
    return str(uuid.uuid4())
