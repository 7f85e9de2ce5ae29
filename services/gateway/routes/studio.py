"""What the editor asks its server for besides prompts, files and node types."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.artifacts.keys import model_metadata_key, model_preview_key
from libs.core.errors import NotFound, Refused
from libs.core.jsonvalue import Json
from libs.events.worker import WeightsFile
from libs.nodes.handbook import help_page
from services.gateway.auth import OWNER_TIER
from services.gateway.domain.submission import client_id, flag
from services.gateway.gateway import Gateway
from services.gateway.http import read_command
from services.gateway.logs import shown
from services.gateway.openapi import studio as told
from services.gateway.routes.nodes import HIDDEN_FOLDERS
from services.gateway.routes.table import Route

SUFFIXES: Final[tuple[str, ...]] = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
LISTED_MAX: Final = 1_000


@dataclass(frozen=True)
class StudioRoutes:
    """Small answers; what this server does not have is an empty list, or not found."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (*self._of_the_page(), *self._of_models(), *self._of_the_house())

    def _of_the_page(self) -> Iterable[Route]:
        subgraph, docs = "/global_subgraphs/{id}", "/docs/{node:path}/{page}"
        return (
            Route("GET", "/i18n", self.nothing, told.I18N),
            Route("GET", "/global_subgraphs", self.nothing, told.SUBGRAPHS),
            Route("GET", subgraph, self.no_subgraph, told.SUBGRAPH),
            Route("GET", "/node_replacements", self.nothing, told.REPLACEMENTS),
            Route("GET", docs, self.node_help, told.NODE_HELP, api=False),
            Route("POST", "/users", self.no_new_user, told.NEW_USER),
        )

    def _of_models(self) -> Iterable[Route]:
        models = "/experiment/models"
        preview = f"{models}/preview/{{folder}}/{{index}}/{{file:path}}"
        return (
            Route("GET", models, self.folders, told.FOLDERS),
            Route("GET", preview, self.preview, told.PREVIEW),
            Route("GET", f"{models}/{{folder}}", self.models, told.MODELS),
            Route("GET", "/view_metadata/{folder}", self.metadata, told.METADATA),
        )

    def _of_the_house(self) -> Iterable[Route]:
        logs = "/internal/logs"
        return (
            Route("GET", logs, self.logs, told.LOGS, api=False),
            Route("GET", f"{logs}/raw", self.raw_logs, told.RAW_LOGS, api=False),
            Route("PATCH", f"{logs}/subscribe", self.subscribe, told.SUBSCRIBE, api=False),
            Route("GET", "/internal/folder_paths", self.nothing, told.PATHS, api=False),
            Route("GET", "/internal/files/{type}", self.files, told.INTERNAL_FILES, api=False),
            Route("POST", "/free", self.free, told.FREE),
        )

    async def nothing(self, _request: Request) -> Response:
        """Return an empty object: there is none of this here."""
        return JSONResponse({})

    async def no_subgraph(self, request: Request) -> Response:
        """Say that there is no such shared subgraph."""
        await self.gateway.who(request)
        raise NotFound("There is no such subgraph", field="id")

    async def no_new_user(self, request: Request) -> Response:
        """Refuse to make a user: whoever runs this server does that, with an API key."""
        await self.gateway.who(request)
        raise Refused("Users are made with API keys, by whoever runs this server", field="username")

    async def node_help(self, request: Request) -> Response:
        """Return the handbook's words about a node type, as Markdown."""
        who = await self.gateway.who(request)
        schema = (await self.gateway.catalogues.of(who.owner)).types.get(
            request.path_params["node"]
        )
        if schema is None or not request.path_params["page"].endswith(".md"):
            raise NotFound("There is no such page", field="node")
        return Response(help_page(schema), media_type="text/markdown")

    async def folders(self, request: Request) -> Response:
        """Return the kinds of model files that the fleet has."""
        await self.gateway.who(request)
        found = await self.gateway.archive.weights()
        return JSONResponse(
            [
                {"name": name, "folders": [], "extensions": list(SUFFIXES)}
                for name in sorted(set(found) - HIDDEN_FOLDERS)
            ]
        )

    async def models(self, request: Request) -> Response:
        """Return the model files of one kind, with sizes and times."""
        await self.gateway.who(request)
        files = (await self.gateway.archive.weights()).get(request.path_params["folder"])
        if files is None:
            raise NotFound("There is no such kind of model files", field="folder")
        shown: list[Json] = [
            {
                "name": file.name,
                "pathIndex": 0,
                "size": file.size_bytes,
                "modified": file.modified_ms / 1000,
                "created": file.modified_ms / 1000,
            }
            for file in files
        ]
        return JSONResponse(shown)

    async def preview(self, request: Request) -> Response:
        """Return the picture that lies beside a model file, as WebP."""
        await self.gateway.who(request)
        asked = request.path_params
        file = await self._model_file(asked["folder"], asked["file"])
        if file is None or asked["index"] != "0":
            raise NotFound("There is no picture of this model", field="file")
        key = model_preview_key(asked["folder"], file.name, file.size_bytes, file.modified_ms)
        data = await self.gateway.files.artifacts.get(key)
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache"}
        return Response(data, media_type="image/webp", headers=headers)

    async def metadata(self, request: Request) -> Response:
        """Return the texts in the header of a safetensors file: `filename`."""
        await self.gateway.who(request)
        folder = request.path_params["folder"]
        file = await self._model_file(folder, request.query_params.get("filename", ""))
        if file is None:
            raise NotFound("There is no such model file", field="filename")
        key = model_metadata_key(folder, file.name, file.size_bytes, file.modified_ms)
        data = await self.gateway.files.artifacts.get(key)
        return Response(data, media_type="application/json")

    async def _model_file(self, folder: str, name: str) -> WeightsFile | None:
        files = (await self.gateway.archive.weights()).get(folder, [])
        return next((file for file in files if file.name == name), None)

    async def logs(self, request: Request) -> Response:
        """Return the newest lines of this process's log to whoever runs the house."""
        who = await self.gateway.who(request)
        return JSONResponse("".join(f"{line.text}\n" for line in self.gateway.logs.of(who)))

    async def raw_logs(self, request: Request) -> Response:
        """Return the same lines one by one, with their times."""
        who = await self.gateway.who(request)
        return JSONResponse(shown(self.gateway.logs.of(who)))

    async def subscribe(self, request: Request) -> Response:
        """Tell a client of new lines by frames `logs`, or no more: `clientId`, `enabled`."""
        who = await self.gateway.who(request)
        command = await read_command(request)
        named = command.get("clientId", "")
        on = flag(command.get("enabled"), "enabled")
        self.gateway.logs.subscribe(who, client_id(named), on=on)
        return Response(status_code=200)

    async def files(self, request: Request) -> Response:
        """Return the names of the caller's files, newest first if they were made here."""
        who = await self.gateway.who(request)
        kind = request.path_params["type"]
        if kind in ("input", "temp"):
            return JSONResponse(await self.gateway.archive.uploads(who.owner, kind))
        if kind != "output":
            raise Refused("type must be one of output, input, temp", field="type")
        return JSONResponse(await self.gateway.archive.output_names(who.owner, LISTED_MAX))

    async def free(self, request: Request) -> Response:
        """Let workers forget models and results between two runs, if the caller runs the house."""
        who = await self.gateway.who(request)
        command = await read_command(request)
        models = flag(command.get("unload_models"), "unload_models")
        memory = flag(command.get("free_memory"), "free_memory")
        if who.tier == OWNER_TIER and (models or memory):
            # As in ComfyUI: whoever frees memory unloads the models as well.
            await self.gateway.fleet.free(models=True, results=memory)
        return Response(status_code=200)
