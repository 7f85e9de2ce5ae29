"""Short words for the tests of the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from libs.bus.base import Bus, Reactor
from libs.events.base import Event, Sealed
from libs.events.envelope import Cause, Recorded
from libs.events.run import RunEnded, RunQueued
from libs.events.verdict import PromptRejected

TENANT = "acme"
NO_CAUSE = Cause()
RUNS = ("evt.v1.*.run.*",)
# What is waited for comes at once on an idle machine, and comes on a busy one.
PATIENCE_SECONDS = 60


def subject(prompt_id: str) -> str:
    return f"evt.v1.{TENANT}.run.{prompt_id}"


def queued(prompt_id: str, number: int = 1) -> RunQueued:
    return RunQueued(prompt_id=prompt_id, number=number, tier="free", account="ada")


def ended(prompt_id: str) -> RunEnded:
    return RunEnded(prompt_id=prompt_id, outcome="succeeded", attempt=1)


def rejected(prompt_id: str, payload_bytes: int) -> PromptRejected:
    return PromptRejected(
        prompt_id=prompt_id,
        status=400,
        code="x",
        detail=Sealed(kid="k", inline="x" * payload_bytes),
    )


async def append(bus: Bus, *events: Event, expected: int = 0) -> tuple[Recorded[Event], ...]:
    return await bus.journal.append(TENANT, events, expected, NO_CAUSE)


async def eventually(holds: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something holds; fail when it does not in time."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  What is waited for lies in another process.
            await asyncio.sleep(0.01)


async def close(reading: AsyncIterator[Any]) -> None:
    """End an async generator now, not when it is collected."""
    assert isinstance(reading, AsyncGenerator)
    await reading.aclose()


class Notes:
    """A handler that notes what it was given."""

    def __init__(self) -> None:
        self.events: list[Recorded[Event]] = []

    async def __call__(self, recorded: Recorded[Event]) -> None:
        self.events.append(recorded)

    @property
    def seqs(self) -> list[int]:
        return [recorded.seq for recorded in self.events]


def reactor(handler: Callable[[Recorded[Event]], Awaitable[None]], **changes) -> Reactor:
    values: dict[str, Any] = {
        "name": "tests",
        "filters": RUNS,
        "handler": handler,
        "ack_wait_seconds": 1.0,
    }
    return Reactor(**(values | changes))


@asynccontextmanager
async def running(*coroutines) -> AsyncIterator[list[asyncio.Task]]:
    """Run while the block runs; then cancel and wait."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            assert result is None or isinstance(result, asyncio.CancelledError), result
