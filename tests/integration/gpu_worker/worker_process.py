"""A whole worker process on real servers, with the engine of the tests: `<slot> <models>`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from libs.chassis.resources import open_resources
from libs.chassis.runner import run
from libs.settings import Settings
from services.gpu_worker.main import build
from services.gpu_worker.settings import WorkerSettings
from tests.integration.gpu_worker.workshop import fake_command


async def main(slot: str, models: Path) -> None:
    """Work until told to stop."""
    settings = WorkerSettings(slot=slot, models=models, threads=1)
    async with open_resources(Settings(), "gpu_worker") as resources:
        await run([build(resources, settings, fake_command)], resources)


asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
