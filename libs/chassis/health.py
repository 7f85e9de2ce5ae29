"""Health of a process without an API of its own: /healthz, /readyz and /metrics (P06)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from libs.chassis.service import Resources, Service
from libs.store.engine import healthy

PROBE_SECONDS = 2.0


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
        _answers(resources.bus.healthy()), _answers(healthy(resources.database))
    )
    servers = {"bus": bus, "database": database}
    reasons = {name: "does not answer" for name, answers in servers.items() if not answers}
    for service in services:
        if service.ready is not None and (reason := await service.ready()):
            reasons[service.name] = reason
    return [f"{name}: {reason}" for name, reason in reasons.items()]


async def _answers(asking: Awaitable[bool]) -> bool:
    """Ask within a bound: a probe that waits with the server it asks about tells nothing."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await asking
    except TimeoutError:
        return False
