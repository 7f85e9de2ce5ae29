"""How fast the read models are built anew from the archive, and the archive is proven."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from libs.chassis.embedded.postgres import start_postgres
from libs.events.envelope import read
from libs.store.engine import make_engine, migrate
from services.recorder.archive import Archive
from services.recorder.rebuilding import rebuild
from services.recorder.verifying import verify
from tests.bench.backlog import cpu_seconds, stories

PROMPTS = 4000
BATCH = 500


def measure(folder: Path, prompts: int = PROMPTS) -> dict[str, float]:
    """Return events a second of `audit rebuild` and `audit verify`, and CPU per event."""
    return asyncio.run(_measure(folder, prompts))


async def _measure(folder: Path, prompts: int) -> dict[str, float]:
    postgres = await start_postgres(folder, port=0)
    await migrate(postgres.url)
    engine = make_engine(postgres.url)
    try:
        events = await _fill(Archive(engine, lambda: datetime.now(UTC)), prompts)
        figures: dict[str, float] = {"events": events}
        pid = postgres.server.pid
        figures |= await _taken("", events, pid, lambda: rebuild(engine))
        figures |= await _taken("verify_", events, pid, lambda: verify(engine, None))
    finally:
        await engine.dispose()
        await postgres.server.stop()
    return figures


async def _fill(archive: Archive, prompts: int) -> int:
    """Archive the stories of so many prompts; return how many events they are."""
    coming = enumerate(stories(prompts), 1)
    end = 0
    while lot := list(islice(coming, BATCH)):
        events = [read(one.data, seq=seq, subject=one.subject) for seq, one in lot]
        end = (await archive.write(events, "bench")).seq
    return end


async def _taken(
    prefix: str, events: int, postgres: int, work: Callable[[], Awaitable[Any]]
) -> dict[str, float]:
    before, began = (time.process_time(), cpu_seconds(postgres)), time.perf_counter()
    found = await work()
    seconds = time.perf_counter() - began
    if not found.sound:
        raise AssertionError(f"what was archived is not sound: {found}")
    own, theirs = time.process_time() - before[0], cpu_seconds(postgres) - before[1]
    return {
        f"{prefix}events_per_second": events / seconds,
        f"{prefix}cpu_ms_per_event": own * 1000 / events,
        f"{prefix}postgres_cpu_ms_per_event": theirs * 1000 / events,
    }
