"""/healthz, /readyz and /metrics (P06)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.chassis.health import trouble_of, within_a_bound
from libs.store.engine import healthy
from services.gateway import metrics
from services.gateway.gateway import Gateway
from services.gateway.openapi import operations as told
from services.gateway.routes.table import Route


@dataclass(frozen=True)
class HealthRoutes:
    """Probes; they tell nothing about anybody's prompts."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (
            Route("GET", "/healthz", self.healthz, told.HEALTHZ, api=False),
            Route("GET", "/readyz", self.readyz, told.READYZ, api=False),
            Route("GET", "/metrics", self.metrics, told.METRICS, api=False),
        )

    async def healthz(self, _request: Request) -> Response:
        """Say that the process lives."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        """Say whether prompts are taken, and if not, what is missing."""
        missing = [reason for reason in await asyncio.gather(*self._checks()) if reason]
        return JSONResponse({"ready": not missing, "missing": missing}, 503 if missing else 200)

    async def metrics(self, _request: Request) -> Response:
        """Return Prometheus' text format."""
        metrics.OPEN_PROMPTS.set(len(self.gateway.live.queue))
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    def _checks(self) -> Iterable[asyncio.Task[str]]:
        async def check(name: str, asking: Awaitable[str]) -> str:
            reason = await within_a_bound(asking)
            return f"{name}: {reason}" if reason else ""

        gateway = self.gateway
        asked = {
            "bus": gateway.bus.trouble(),
            "artifacts": trouble_of(gateway.files.artifacts.healthy()),
            "database": trouble_of(healthy(gateway.archive.database)),
        }
        for name, asking in asked.items():
            yield asyncio.ensure_future(check(name, asking))
        yield asyncio.ensure_future(gateway.ready())
