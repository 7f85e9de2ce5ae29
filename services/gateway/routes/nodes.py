"""The node types, in either language."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.nodes.dialects import node_definitions, object_info, object_info_entry
from services.gateway.gateway import Gateway
from services.gateway.openapi import operations as told
from services.gateway.routes.table import Route

HIDDEN_FOLDERS = frozenset({"input"})


@dataclass(frozen=True)
class NodeRoutes:
    """What graphs can be made of, and which model files there are."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (
            Route("GET", "/object_info", self.object_info, told.OBJECT_INFO),
            Route(
                "GET",
                "/object_info/{node_type:path}",
                self.object_info_of_one,
                told.OBJECT_INFO_OF_ONE,
            ),
            Route("GET", "/nodes", self.nodes, told.NODES),
            Route("GET", "/models", self.folders, told.FOLDERS),
            Route("GET", "/models/{folder}", self.models, told.MODELS),
        )

    async def object_info(self, request: Request) -> Response:
        """Return every node type as ComfyUI's editor reads it."""
        who = await self.gateway.who(request)
        return JSONResponse(object_info(await self.gateway.catalogues.of(who.owner)))

    async def object_info_of_one(self, request: Request) -> Response:
        """Return one node type; an unknown one is an empty object."""
        who = await self.gateway.who(request)
        catalogue = await self.gateway.catalogues.of(who.owner)
        schema = catalogue.types.get(request.path_params["node_type"])
        entry = {schema.type: object_info_entry(schema, catalogue)} if schema else {}
        return JSONResponse(entry)

    async def nodes(self, request: Request) -> Response:
        """Return every node type as HIP-35's NodeDefinition."""
        who = await self.gateway.who(request)
        return JSONResponse(node_definitions(await self.gateway.catalogues.of(who.owner)))

    async def folders(self, request: Request) -> Response:
        """Return the kinds of model files that the fleet has."""
        who = await self.gateway.who(request)
        catalogue = await self.gateway.catalogues.of(who.owner)
        return JSONResponse(sorted(set(catalogue.choices) - HIDDEN_FOLDERS))

    async def models(self, request: Request) -> Response:
        """Return the model files of one kind."""
        who = await self.gateway.who(request)
        catalogue = await self.gateway.catalogues.of(who.owner)
        folder = request.path_params["folder"]
        known = folder in catalogue.choices and folder not in HIDDEN_FOLDERS
        return JSONResponse(list(catalogue.choices[folder]) if known else [], 200 if known else 404)
