"""The node packs of the fleet, for whoever asks which there are and what keeps one from loading."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.jsonvalue import Json
from services.gateway.auth import OWNER_TIER
from services.gateway.editor import CHECKED, MIMES, POLICY
from services.gateway.gateway import Gateway
from services.gateway.openapi import packs as told
from services.gateway.routes.table import Route


@dataclass(frozen=True)
class PackRoutes:
    """What workers say of their packs."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (
            Route("GET", "/node_packs", self.packs, told.PACKS, bare=False),
            Route("GET", "/extensions", self.extensions, told.EXTENSIONS),
            Route("GET", "/extensions/{pack}/{path:path}", self.extension, told.EXTENSION),
        )

    async def extensions(self, request: Request) -> Response:
        """Return the scripts that the workers' node packs add to the editor."""
        await self.gateway.who(request)
        return JSONResponse(await self.gateway.extensions.scripts())

    async def extension(self, request: Request) -> Response:
        """Return a file of a node pack's page; a browser that has it is told so."""
        await self.gateway.who(request)
        asked = request.path_params
        data, digest = await self.gateway.extensions.file(asked["pack"], asked["path"])
        headers = {
            "Cache-Control": f"private, {CHECKED}",
            "Content-Security-Policy": POLICY,
            "ETag": f'"{digest}"',
            "X-Content-Type-Options": "nosniff",
        }
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        suffix = PurePosixPath(asked["path"]).suffix.lower()
        return Response(data, media_type=MIMES.get(suffix) or _mime(suffix), headers=headers)

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


def _mime(suffix: str) -> str:
    return mimetypes.types_map.get(suffix, "application/octet-stream")
