"""Packs that hang, end, crash or fill the engine while they are imported, and one that is rude."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from libs.core.jsonvalue import JsonObject
from services.gpu_worker.child import EngineChild, engine_environment
from services.gpu_worker.importing import Imports
from services.gpu_worker.packs import packs_of, types_of
from services.gpu_worker.settings import WorkerSettings

FOLDER = Path(__file__).resolve().parents[2] / "data/bad_packs"
SCRIPT = Path(__file__).with_name("pack_engine.py")


@asynccontextmanager
async def started(folder: Path, imports: Imports) -> AsyncIterator[JsonObject]:
    """Start an engine with those packs; give what it says of itself."""
    settings = WorkerSettings(node_packs=folder, threads=1)
    child = EngineChild(
        engine_environment(settings), lambda fd: (sys.executable, str(SCRIPT), str(fd)), imports
    )
    task = asyncio.create_task(child.run())
    try:
        async with asyncio.timeout(60):
            yield await child.ready()
        # Whatever threads and alarms a pack left behind, the engine lives.
        await asyncio.sleep(0.7)
        assert child.hello is not None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.timeout(90)
async def test_packs_that_stop_the_engine_are_told_of_by_name_and_all_others_work():
    async with started(FOLDER, Imports(seconds=4, mib=150)) as hello:
        told = {pack.name: pack.error for pack in packs_of(hello)}
    assert told == {
        "crashing_pack": "it ended the engine while it was imported (signal 11)",
        "exiting_pack": "it ended the engine while it was imported (exit code 3)",
        "greedy_pack": "it took more than 150 MiB of memory to be imported",
        "hanging_pack": "it was not imported within 4 seconds",
        "rude_pack": "",
        "zealous_pack": "",
    }
    assert set(types_of(hello)) == {"RudeWord", "ZealousWord"}
    assert hello["cwd"] == str(Path.cwd())
