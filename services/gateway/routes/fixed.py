"""Small answers that make existing clients and editors feel at home."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.jsonvalue import JsonObject
from services.gateway.editor import DISTRIBUTION
from services.gateway.fleet import memory_of_this_machine
from services.gateway.gateway import Gateway
from services.gateway.openapi import operations as told
from services.gateway.routes.table import Route
from services.gateway.settings import GatewaySettings

# The protocol that is spoken here is the one of this version.
SPOKEN_VERSION = "0.33.0"
ENVIRONMENT = "hanzo-studio"


def server_features(settings: GatewaySettings) -> JsonObject:
    """Return what this server can do, as editors ask for it."""
    return {
        "supports_preview_metadata": True,
        "supports_model_type_tags": True,
        "max_upload_size": settings.upload_bytes_max,
        "extension": {"manager": {"supports_v4": False}},
        "node_replacements": False,
        "assets": False,
    }


@dataclass(frozen=True)
class FixedRoutes:
    """Answers that do not depend on prompts."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (
            Route("GET", "/features", self.features, told.FEATURES),
            Route("GET", "/system_stats", self.system_stats, told.SYSTEM_STATS),
            Route("GET", "/embeddings", self.embeddings, told.EMBEDDINGS),
            Route("GET", "/users", self.users, told.USERS),
        )

    async def features(self, _request: Request) -> Response:
        """Return what this server can do."""
        return JSONResponse(server_features(self.gateway.settings))

    async def system_stats(self, request: Request) -> Response:
        """Return versions, this machine's memory, and the devices of the fleet."""
        await self.gateway.who(request)
        fleet = await self.gateway.archive.fleet()
        ram_total, ram_free = memory_of_this_machine()
        system: JsonObject = {
            "os": sys.platform,
            "ram_total": ram_total,
            "ram_free": ram_free,
            "comfyui_version": SPOKEN_VERSION,
            "python_version": platform.python_version(),
            "pytorch_version": next((w.software.get("torch", "") for w in fleet), ""),
            "embedded_python": False,
            "deploy_environment": ENVIRONMENT,
            "comfy_package_versions": [],
            "argv": [],
        }
        if editor := self.gateway.editor:
            # An editor that is older than what is served asks its user to load the page again.
            served = editor.version
            package: JsonObject = {"name": DISTRIBUTION, "installed": served, "required": served}
            system |= {"required_frontend_version": served, "comfy_package_versions": [package]}
        return JSONResponse({"system": system, "devices": self.gateway.fleet.devices(fleet)})

    async def embeddings(self, request: Request) -> Response:
        """Return the names of the fleet's embeddings."""
        who = await self.gateway.who(request)
        catalogue = await self.gateway.catalogues.of(who.owner)
        names = catalogue.choices.get("embeddings", ())
        return JSONResponse([name.rpartition(".")[0] or name for name in names])

    async def users(self, request: Request) -> Response:
        """Say that whoever asks is the one user."""
        await self.gateway.who(request)
        return JSONResponse({"storage": "server", "migrated": True})
