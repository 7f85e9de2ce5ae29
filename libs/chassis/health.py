"""Health of a process without an API of its own: /healthz, /readyz and /metrics (P06)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from libs.chassis.service import Resources, Service
from libs.store.engine import healthy

PROBE_SECONDS = 2.0
SILENT = "does not answer"


def health_app(services: Sequence[Service], resources: Resources) -> FastAPI:
    """Return the probes of `services`."""
    app = FastAPI(openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, object]:
        missing = await what_is_missing(services, resources)
        response.status_code = 503 if missing else 200
        return {"ready": not missing, "missing": missing}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


async def what_is_missing(services: Sequence[Service], resources: Resources) -> list[str]:
    """Return what keeps the process from its work, in words."""
    bus, database = await asyncio.gather(
        within_a_bound(resources.bus.trouble()),
        within_a_bound(trouble_of(healthy(resources.database))),
    )
    servers = {"bus": bus, "database": database}
    reasons = {name: reason for name, reason in servers.items() if reason}
    for service in services:
        if service.ready is not None and (reason := await service.ready()):
            reasons[service.name] = reason
    return [f"{name}: {reason}" for name, reason in reasons.items()]


async def trouble_of(asking: Awaitable[bool]) -> str:
    """Say in words that a server does not answer."""
    return "" if await asking else SILENT


async def within_a_bound(asking: Awaitable[str]) -> str:
    """Ask within a bound: a probe that waits with the server it asks about tells nothing."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await asking
    except TimeoutError:
        return SILENT
