"""Prompts in a row on one worker: with files made while the next run computes, and without."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from libs.artifacts.base import ArtifactInfo
from libs.artifacts.memory import MemoryArtifacts
from libs.weights.folder import builtin_files
from services.gpu_worker.settings import WorkerSettings
from tests.bench.figures import Figures
from tests.e2e.houses import ROOT
from tests.integration.gpu_worker.workshop import Workshop

DEMO: Final = ROOT / "libs/weights/demo"
NEEDS: Final = (
    "checkpoints/hanzo-demo-64.safetensors",
    "upscale/realesr-animevideov3-x4.safetensors",
)
RUNS: Final = 6
STEPS: Final = 8
ROUNDS: Final = 2
# What a file takes on its way to a bucket far away.
STORE_SECONDS: Final = 0.25
SECONDS_MAX: Final = 200


def measure(folder: Path) -> Figures:
    """Make rows of pictures in both ways, in turns: others use the machine as well."""
    figures: Figures = {"runs": RUNS, "store_seconds": STORE_SECONDS}
    for profile in ("exact", "fast"):
        for name, pause in (("", 0.0), ("stored_slowly_", STORE_SECONDS)):
            rows = asyncio.run(_rows(folder / f"{profile}{pause}", profile, pause))
            one_by_one, overlapping = (min(row[at] for row in rows) for at in (0, 1))
            figures[f"{profile}_{name}one_by_one_seconds"] = one_by_one
            figures[f"{profile}_{name}overlapping_seconds"] = overlapping
            figures[f"{profile}_{name}times_as_fast"] = one_by_one / overlapping
    return figures


class SlowArtifacts(MemoryArtifacts):
    """A storage that takes its time for every file, as one far away does."""

    pause_seconds = 0.0

    async def put(self, key: str, data: bytes, mime: str) -> ArtifactInfo:
        """Keep a file, after a while."""
        await asyncio.sleep(self.pause_seconds)
        return await super().put(key, data, mime)


async def _rows(folder: Path, profile: str, pause: float) -> list[tuple[float, float]]:
    """Return how long rows of prompts take that are all in the queue: one by one, overlapping."""
    settings = WorkerSettings.model_validate({"threads": 1, "device": "cpu", "profile": profile})
    artifacts = SlowArtifacts()
    artifacts.pause_seconds = pause
    workshop = Workshop(folder, settings=settings, artifacts=artifacts)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(workshop.house.scheduler())
        await stack.enter_async_context(workshop.moderation())
        agent = await stack.enter_async_context(workshop.worker(real=True))
        agent.folder.builtin = builtin_files(DEMO)
        numbers = itertools.count()

        async def row(count: int, *, overlap: bool) -> float:
            agent.settings = agent.settings.model_copy(update={"overlap": overlap})
            began = time.monotonic()
            names = [f"p{next(numbers)}" for _ in range(count)]
            for name in names:
                graph = json.loads((DEMO / "graph.json").read_text(encoding="utf-8"))
                graph["sampler"]["inputs"] |= {"seed": int(name[1:]), "steps": STEPS}
                await workshop.submit(name, graph, "picture", needs=NEEDS, profile=profile)
            for name in names:
                end = await workshop.house.ended(name, SECONDS_MAX)
                assert end.outcome == "succeeded", name
            return time.monotonic() - began

        await row(1, overlap=True)
        return [
            (await row(RUNS, overlap=False), await row(RUNS, overlap=True)) for _ in range(ROUNDS)
        ]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as made:
        json.dump(measure(Path(made)), sys.stdout, indent=1)
