"""/healthz, /readyz, /metrics (P06), and /openapi.json."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.chassis.health import trouble_of, within_a_bound
from libs.store.engine import healthy
from services.painter.painter import Painter
from services.painter.routes.table import Route

OPENAPI: Final = Path(__file__).parents[1] / "openapi.json"


@dataclass(frozen=True)
class HealthRoutes:
    """Probes; they tell nothing about anybody's pictures."""

    painter: Painter

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (
            Route("GET", "/healthz", self.healthz),
            Route("GET", "/readyz", self.readyz),
            Route("GET", "/metrics", self.metrics),
            Route("GET", "/openapi.json", self.openapi),
        )

    async def healthz(self, _request: Request) -> Response:
        """Say that the process lives."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        """Say whether pictures can be made, and if not, what is missing."""
        asked = {
            "studio": trouble_of(self.painter.studio.healthy()),
            "database": trouble_of(healthy(self.painter.database)),
        }
        found = {name: await within_a_bound(asking) for name, asking in asked.items()}
        missing = [f"{name}: {reason}" for name, reason in found.items() if reason]
        return JSONResponse({"ready": not missing, "missing": missing}, 503 if missing else 200)

    async def metrics(self, _request: Request) -> Response:
        """Return Prometheus' text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def openapi(self, _request: Request) -> Response:
        """Return what this API is, for programs."""
        return Response(OPENAPI.read_bytes(), media_type="application/json")
