"""Every process without an API of its own has probes and metrics."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from libs.bus.base import Reactor
from libs.bus.memory import MemoryBus
from libs.chassis.health import health_app
from libs.chassis.service import Resources, Service
from libs.events.envelope import Cause, Recorded
from libs.events.run import RunEnded
from libs.store.engine import make_engine


@pytest.mark.covers("P06")
async def test_a_service_shows_how_long_its_reactions_took():
    bus = MemoryBus()

    async def react(recorded: Recorded[RunEnded]) -> None:
        assert recorded.event.outcome == "failed"

    async def ready() -> str:
        return "the engine is warming up"

    service = Service(name="watched", reacts={RunEnded: react}, ready=ready)
    event = RunEnded(prompt_id="p-1", outcome="failed", attempt=1)
    await bus.journal.append("acme", [event], 0, Cause())
    reactor = Reactor(name="watched", filters=service.filters(), handler=service.handle)
    reading = asyncio.create_task(bus.react(reactor))
    await bus.drain()
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    nowhere = make_engine("postgresql://nobody@127.0.0.1:1/nothing")
    resources = cast("Resources", SimpleNamespace(bus=bus, database=nowhere))
    client = TestClient(health_app([service], resources))
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").status_code == 503
    missing: dict[str, Any] = client.get("/readyz").json()
    assert missing["missing"] == [
        "database: does not answer",
        "watched: the engine is warming up",
    ]
    shown = client.get("/metrics").text
    assert 'studio_reaction_seconds_count{event="RunEnded",service="watched"} 1.0' in shown
    assert 'studio_deliveries_total{outcome="done",service="watched"} 1.0' in shown
