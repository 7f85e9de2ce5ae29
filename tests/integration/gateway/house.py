"""A gateway on a real HTTP port, the real recorder, and the other services by their events."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
import websockets
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.artifacts.memory import MemoryArtifacts
from libs.bus.memory import MemoryBus
from libs.chassis.service import Resources, Service
from libs.sealed.vault import MemoryVault
from libs.settings import Settings
from services.gateway.gateway import Gateway
from services.gateway.main import build_app, build_gateway
from services.gateway.settings import GatewaySettings
from services.recorder.main import build as build_recorder
from tests.integration.gateway.client import Client
from tests.integration.gateway.others import Others

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


@dataclass(kw_only=True)
class House(Others):
    """What tests act through: HTTP, sockets, and the events of everybody else."""

    url: str
    http: httpx.AsyncClient
    gateway: Gateway
    recorder: Service

    async def post(self, client_id: str = "", graph: Any = None, **more: Any) -> str:
        """Hand a prompt in that is accepted; return its id."""
        body = {"prompt": graph or GRAPH, "client_id": client_id, **more}
        answer = await self.http.post("/prompt", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["prompt_id"])

    def record(self) -> None:
        """Start the recorder."""
        self.tasks += [asyncio.create_task(_run(task)) for task in self.recorder.tasks.values()]

    @contextlib.asynccontextmanager
    async def socket(
        self, client_id: str, *, page: bool = False, **more: str
    ) -> AsyncIterator[Client]:
        """Open a WebSocket, as a program does or as a page of ours in a browser."""
        query = httpx.QueryParams({"clientId": client_id, **more})
        # A client that stops reading would otherwise also stop hearing that the socket closes.
        address = f"{self.url.replace('http', 'ws')}/ws?{query}"
        origin = websockets.Origin(self.url) if page else None
        async with websockets.connect(address, max_queue=None, origin=origin) as socket:
            yield Client(socket)


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
    server = _server_of(gateway)
    serving = asyncio.create_task(server.serve())

    async def started() -> bool:
        return bool(server.started)

    await eventually(started)
    await live.caught_up(10)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        bus: Any = resources.bus
        artifacts: Any = resources.artifacts
        vault: Any = resources.vault
        house = House(
            bus=bus,
            artifacts=artifacts,
            vault=vault,
            read_from=lambda: live._position + 1,
            url=url,
            http=http,
            gateway=gateway,
            recorder=build_recorder(resources),
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


def _server_of(gateway: Gateway) -> uvicorn.Server:
    config = uvicorn.Config(
        build_app(gateway),
        port=0,
        log_config=None,
        ws_ping_interval=None,
        lifespan="off",
        timeout_keep_alive=75,
    )
    return uvicorn.Server(config)


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    """Wait until `check` comes true."""
    for _ in range(int(seconds / 0.02)):
        if await check():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come true in time")


def fresh_id() -> str:
    """Return a prompt id that a client may choose."""
    return str(uuid.uuid4())
