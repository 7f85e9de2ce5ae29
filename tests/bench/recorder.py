"""How fast the recorder catches up from cold, and what an event costs it at the pace of a house."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from itertools import islice
from pathlib import Path

from libs.bus.base import Bus
from libs.bus.jetstream import connect
from libs.events.signals import RECORDED_SUBJECT, Committed
from tests.bench.backlog import Publish, Stored, publisher, recorder, servers, stories

PROMPTS = 4000
# 25 prompts a second, in small lots as they come from seven services.
LIVE_PROMPTS = 500
LIVE_EVENTS_PER_SECOND = 325
LIVE_LOT = 5
SILENCE_SECONDS_MAX = 60


def measure(
    folder: Path, prompts: int = PROMPTS, live_prompts: int = LIVE_PROMPTS
) -> dict[str, float]:
    """Return events a second while catching up, and CPU milliseconds per event of each process."""
    return asyncio.run(_measure(folder, prompts, live_prompts))


async def _measure(folder: Path, prompts: int, live_prompts: int) -> dict[str, float]:
    backlog = list(stories(prompts))
    lots = list(stories(live_prompts, seed=2, first=prompts))
    async with servers(folder) as ground, publisher(ground.settings) as publish:
        await publish(backlog)
        bus = await connect(ground.settings, "bench")
        places = _places(bus)
        listening = asyncio.ensure_future(anext(places))
        try:
            with recorder(ground.settings, folder / "recorder.log") as process:
                assert await listening == 0
                before, began = ground.cpu_seconds(process.pid), time.perf_counter()
                await _until(places, len(backlog))
                seconds = time.perf_counter() - began
                figures = {"events": len(backlog), "events_per_second": len(backlog) / seconds}
                figures |= _per_event(before, ground.cpu_seconds(process.pid), len(backlog))
                before = ground.cpu_seconds(process.pid)
                await _live(publish, lots)
                await _until(places, len(backlog) + len(lots))
                figures |= _per_event(before, ground.cpu_seconds(process.pid), len(lots), "live_")
        finally:
            await bus.close()
    return figures


async def _live(publish: Publish, events: list[Stored]) -> None:
    """Publish at the pace of a busy house."""
    coming = iter(events)
    began, sent = time.perf_counter(), 0
    while lot := list(islice(coming, LIVE_LOT)):
        await publish(lot)
        sent += len(lot)
        await asyncio.sleep(max(0.0, began + sent / LIVE_EVENTS_PER_SECOND - time.perf_counter()))


async def _places(bus: Bus) -> AsyncIterator[int]:
    async for told in bus.signals(RECORDED_SUBJECT):
        yield Committed.model_validate_json(told.data).seq


async def _until(places: AsyncIterator[int], seq: int) -> None:
    reached = 0
    while reached < seq:
        async with asyncio.timeout(SILENCE_SECONDS_MAX):
            reached = await anext(places)


def _per_event(
    before: Mapping[str, float], after: Mapping[str, float], events: int, prefix: str = ""
) -> dict[str, float]:
    return {
        f"{prefix}{name}_cpu_ms_per_event": (after[name] - before[name]) * 1000 / events
        for name in after
    }
