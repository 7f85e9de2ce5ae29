"""Services under test run on a bus in memory, with every event delivered twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.bus.base import Bus, Reactor
from libs.bus.memory import MemoryBus
from libs.chassis.service import Service
from libs.events.base import Event, subject_of
from libs.events.envelope import Cause


@asynccontextmanager
async def running(bus: Bus, *services: Service) -> AsyncIterator[None]:
    """Run the reactors, answers and tasks of `services` inside the block."""
    parts = [
        asyncio.create_task(
            bus.react(Reactor(name=one.name, filters=one.filters(), handler=one.handle))
        )
        for one in services
        if one.reacts
    ]
    parts += [
        asyncio.create_task(bus.answer(subject, handler))
        for one in services
        for subject, handler in one.answers.items()
    ]
    parts += [asyncio.ensure_future(task()) for one in services for task in one.tasks.values()]
    try:
        yield
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)


async def append(bus: MemoryBus, event: Event, tenant: str = "acme") -> None:
    """Write an event behind whatever is on its subject already."""
    loaded = await bus.journal.load(subject_of(tenant, event))
    await bus.journal.append(tenant, [event], loaded.last_seq, Cause())
