"""The node packs of the fleet, for whoever asks which there are and what keeps one from loading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.jsonvalue import Json
from services.gateway.auth import OWNER_TIER
from services.gateway.gateway import Gateway
from services.gateway.openapi import packs as told
from services.gateway.routes.table import Route


@dataclass(frozen=True)
class PackRoutes:
    """What workers say of their packs."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (Route("GET", "/node_packs", self.packs, told.PACKS, bare=False),)

    async def packs(self, request: Request) -> Response:
        """Return the node packs of the workers that are up; why one did not load is the owner's."""
        who = await self.gateway.who(request)
        workers = await self.gateway.archive.fleet()
        listed: list[Json] = [
            {
                "worker": worker.slot,
                "name": pack.name,
                "node_types": list(pack.types),
                "loaded": not pack.error,
                "error": pack.error if who.tier == OWNER_TIER else "",
            }
            for worker in workers
            if worker.state == "up"
            for pack in worker.packs
        ]
        return JSONResponse(listed)
