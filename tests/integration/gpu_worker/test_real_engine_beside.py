"""The real engine with several runs at once: asked together, ended for themselves, exact ones alone."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from libs import weights
from libs.events.execution import ExecutionFinished, NodeFinished
from libs.events.prompt import CancelRequested
from libs.weights.folder import builtin_files
from services.gpu_worker.agent import Agent
from services.gpu_worker.settings import WorkerSettings
from tests.integration.gpu_worker.workshop import Workshop
from tests.integration.scheduler.house import tell, until

pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(450)
DEMO = Path(weights.__file__).with_name("demo")
NEEDS = ("checkpoints/hanzo-demo-64.safetensors", "upscale/realesr-animevideov3-x4.safetensors")
TEXTS = (
    "a red circle on a blue background",
    "a green square on a yellow background",
    "a blue triangle on a white background",
)


@asynccontextmanager
async def working(tmp_path: Path) -> AsyncIterator[tuple[Workshop, Agent]]:
    settings = WorkerSettings(
        threads=1, scan_seconds=0.05, ask_seconds=1.0, device="cpu", profile="fast", batch=3
    )
    workshop = Workshop(tmp_path, settings=settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(workshop.house.scheduler())
        await stack.enter_async_context(workshop.moderation())
        agent = await stack.enter_async_context(workshop.worker(real=True))
        agent.folder.builtin = builtin_files(DEMO)
        yield workshop, agent


def graph(text: str, seed: int, steps: int = 12) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((DEMO / "graph.json").read_text())
    made["sampler"]["inputs"] |= {"seed": seed, "steps": steps}
    made["positive"]["inputs"]["text"] = text
    return made


async def pixels(workshop: Workshop, prompt_id: str) -> Any:
    (shown,) = (event for event in workshop.news(prompt_id) if isinstance(event, NodeFinished))
    data = await workshop.artifacts.get(shown.outputs[0].artifact)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def fingerprint(workshop: Workshop, prompt_id: str) -> dict[str, str]:
    finished = workshop.news(prompt_id)[-1]
    assert isinstance(finished, ExecutionFinished)
    return dict(finished.fingerprint)


async def test_fast_runs_are_computed_together_and_an_exact_one_has_the_engine_to_itself(tmp_path):
    async with working(tmp_path) as (workshop, agent):
        pid = (await agent.engine.ready())["pid"]

        async def submit(
            name: str, at: int, profile: str, steps: int = 10, user: str = "u1"
        ) -> None:
            made = graph(TEXTS[at], at, steps)
            more = {"needs": NEEDS, "profile": profile, "user": user}
            await workshop.submit(name, made, "picture", **more)

        async def ended(*names: str) -> None:
            for name in names:
                end = await workshop.house.ended(name, 200)
                assert (end.outcome, end.attempt) == ("succeeded", 1), name

        await submit("long", 2, "fast", steps=3000)
        await until(lambda: workshop.news("long"), 200)
        await submit("beside0", 0, "fast")
        await submit("beside1", 1, "fast")
        await ended("beside0", "beside1")
        # What waits for its turn is cancelled at once, and nobody else notices.
        await submit("waits", 0, "exact")
        await until(lambda: ("t", "waits", 1) in agent.jobs)
        await asyncio.sleep(0.2)
        await tell(workshop.house.bus, CancelRequested(prompt_id="waits", by="u1"))
        assert (await workshop.house.ended("waits", 60)).outcome == "cancelled"
        assert workshop.kinds("waits") == ["ExecutionInterrupted"]
        await submit("exact", 0, "exact")
        await until(lambda: ("t", "exact", 1) in agent.jobs)
        await asyncio.sleep(0.2)
        assert workshop.news("exact") == []
        await tell(workshop.house.bus, CancelRequested(prompt_id="long", by="u1"))
        assert (await workshop.house.ended("long", 60)).outcome == "cancelled"
        await ended("exact")
        # Others' results are never taken, so that these are computed anew, and alone.
        await submit("again", 0, "exact", user="u2")
        await submit("alone", 1, "fast", user="u2")
        await ended("again", "alone")
        assert (await agent.engine.ready())["pid"] == pid
    for name in ("beside0", "beside1"):
        facts = fingerprint(workshop, name)
        assert facts["batch"].startswith("up to ")
        assert facts["profile"] == "fast"
    assert fingerprint(workshop, "alone")["batch"] == "alone"
    assert "step_cache" not in fingerprint(workshop, "alone")
    exact, again = fingerprint(workshop, "exact"), fingerprint(workshop, "again")
    assert (exact["batch"], exact["profile"], exact["deterministic"]) == ("alone", "exact", "true")
    assert exact == again
    assert np.array_equal(await pixels(workshop, "exact"), await pixels(workshop, "again"))
    beside, alone = await pixels(workshop, "beside1"), await pixels(workshop, "alone")
    assert np.abs(beside - alone).max() <= 1
