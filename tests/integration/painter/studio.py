"""Painter on a port of its own, before the gateway's house of tests."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from PIL import Image
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.artifacts.memory import MemoryArtifacts
from libs.bus.memory import MemoryBus
from libs.chassis.service import Resources
from libs.events.prompt import PromptSubmitted
from libs.events.worker import WeightsFile, WeightsListed, WorkerRegistered
from libs.sealed.vault import MemoryVault
from libs.settings import Settings
from services.painter.main import build_app, build_painter
from services.painter.painter import Painter
from services.painter.settings import PainterSettings
from tests.integration.gateway.house import House, eventually, open_house_on

DEMO = {
    "checkpoints": ("hanzo-demo-64.safetensors",),
    "upscale": ("realesr-animevideov3-x4.safetensors",),
}


def picture(side: int = 64, colour: str = "red") -> bytes:
    """Return a small PNG."""
    out = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(out, "PNG")
    return out.getvalue()


@dataclass
class Studio:
    """What tests act through: Painter's port, and the house behind it."""

    http: httpx.AsyncClient
    house: House
    painter: Painter

    async def fleet(self, **files: tuple[str, ...]) -> None:
        """Let a worker say which model files it has."""
        weights = {
            folder: tuple(WeightsFile(name=n, size_bytes=1, modified_ms=1) for n in names)
            for folder, names in {**DEMO, **files}.items()
        }
        registered = WorkerRegistered(
            worker_id="ada", slot="here", device="cpu", backend="torch", vram_mib=8192
        )
        listed = WeightsListed(worker_id="ada", slot="here", weights=weights)
        for event in (registered, listed):
            recorded = await self.house.append(event, "system")
        await self.house.gateway.live.recorded(recorded.seq, 10)

    def paint_all(self) -> None:
        """Accept every prompt from now on, and paint a picture for each node that saves one."""
        self.house.react(PromptSubmitted, self.paint)

    async def paint(self, recorded: Any) -> None:
        """Take one prompt to its end."""
        event, tenant = recorded.event, recorded.tenant
        await self.house.accept(event.prompt_id, tenant)
        workflow: Any = await self.house.vault.open(tenant, event.workflow)
        nodes = workflow["prompt"].items()
        savers = [n for n, node in nodes if node["class_type"] in ("SaveImage", "PreviewImage")]
        await self.house.lease(event.prompt_id, tenant=tenant)
        await self.house.start(event.prompt_id, tenant=tenant)
        await self.house.step(event.prompt_id, "sampler", value=12, total=24, tenant=tenant)
        for saver in savers:
            output = await self.house.output(event.prompt_id, saver, data=picture())
            await self.house.node_done(event.prompt_id, output, node_id=saver, tenant=tenant)
            await self.house.release(
                event.prompt_id, output, saver, tenant=tenant, user=event.user_id
            )
        await self.house.finished(event.prompt_id, len(savers), tenant=tenant)
        await self.house.end(event.prompt_id, "succeeded", tenant=tenant)

    async def workflow_of(self, prompt_id: str, tenant: str = "local") -> dict[str, Any]:
        """Return what was handed in to the gateway, unsealed."""
        recorded = await self.house.submitted(prompt_id)
        opened: Any = await self.house.vault.open(tenant, recorded.event.workflow)
        return dict(opened)

    async def events(self, generation_id: str) -> list[tuple[str, Any]]:
        """Follow a generation to its end."""
        found: list[tuple[str, Any]] = []
        path = f"/api/generations/{generation_id}/events"
        async with self.http.stream("GET", path) as answer:
            kind = ""
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    found.append((kind, json.loads(line.removeprefix("data: "))))
        return found


@contextlib.asynccontextmanager
async def open_studio(
    engine: AsyncEngine, *, auth: str = "local", **settings: Any
) -> AsyncIterator[Studio]:
    """Run gateway and Painter until the end of the block."""
    artifacts = MemoryArtifacts()
    resources = Resources(
        bus=MemoryBus("gateway"),
        artifacts=artifacts,
        database=engine,
        vault=MemoryVault(artifacts),
        settings=Settings(),
    )
    async with open_house_on(resources, auth=auth) as house:
        own = PainterSettings(studio_url=house.url, **{"wait_seconds": 20, **settings})
        painter = build_painter(resources, own)
        server = uvicorn.Server(
            uvicorn.Config(build_app(painter), port=0, log_config=None, lifespan="off")
        )
        serving = asyncio.create_task(server.serve())

        async def started() -> bool:
            return bool(server.started)

        await eventually(started)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            studio = Studio(http, house, painter)
            await studio.fleet()
            try:
                yield studio
            finally:
                await painter.generations.watching.close()
                await painter.studio.close()
                server.should_exit = True
                await serving
