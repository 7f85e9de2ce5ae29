"""The workflows that ship, as the editor's Templates dialog asks for them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.errors import NotFound
from libs.nodes import templates
from services.gateway.gateway import Gateway
from services.gateway.openapi import studio as told
from services.gateway.opening import opened_workflow
from services.gateway.routes.table import Route
from services.gateway.thumbnails import MIME, thumbnail

INDEX: Final = re.compile(r"index(\.[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?)?\.json")
LOGOS: Final = "index_logo.json"
GRAPH: Final = re.compile(r"(?P<name>\w+)\.json")
# The editor asks for a second picture where the pointer rests; it is the same one here.
# A kept workflow or a prompt of the caller's, by its id: `/?workflow=<id>` leads here.
PROMPT: Final = re.compile(r"(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.json")
PICTURE: Final = re.compile(r"(?P<name>\w+)-[12]\.webp")


@dataclass(frozen=True)
class TemplateRoutes:
    """What ships with the house, the same for everybody; and each caller's own prompts."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (
            Route("GET", "/templates/{file}", self.file, told.TEMPLATE, api=False),
            Route("GET", "/workflow_templates", self.of_packs, told.TEMPLATES),
        )

    async def of_packs(self, _request: Request) -> Response:
        """Return the templates of node packs: there are none."""
        return JSONResponse({})

    async def file(self, request: Request) -> Response:
        """Return the list of templates, one of them or its picture; or a prompt of the caller's."""
        file = request.path_params["file"]
        if file == LOGOS:
            return JSONResponse({})
        if INDEX.fullmatch(file):
            return JSONResponse(templates.index())
        if (found := GRAPH.fullmatch(file)) and found["name"] in templates.BY_NAME:
            return JSONResponse(templates.document(found["name"]))
        if (found := PICTURE.fullmatch(file)) and found["name"] in templates.BY_NAME:
            data = await asyncio.to_thread(thumbnail, found["name"])
            return Response(data, media_type=MIME, headers={"Cache-Control": "no-cache"})
        if found := PROMPT.fullmatch(file):
            who = await self.gateway.who(request)
            document = await opened_workflow(self.gateway, who, found["id"])
            return JSONResponse(document, headers={"Cache-Control": "no-store"})
        raise NotFound("There is no such template", field="file")
