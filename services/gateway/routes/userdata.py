"""What the editor keeps for its user: settings and files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.errors import NotFound, Refused
from libs.core.jsonvalue import Json, JsonObject
from libs.graph.literals import flaw
from libs.store.readmodels.user_documents import Listed
from services.gateway.documents import FILE_BYTES_MAX
from services.gateway.domain.documents import (
    MOVE,
    document_name,
    folder_name,
    folders_inside,
    inside,
    segments_after,
    setting_name,
)
from services.gateway.gateway import Gateway
from services.gateway.http import COMMAND_BYTES_MAX, parse_json, read_body
from services.gateway.openapi import editor as told
from services.gateway.routes.table import Route

# The one file that a page loads by itself; all others come as downloads.
STYLE: Final = "user.css"
# With this the editor begins with a graph of its own, whose files no house has; without, with ours.
UNTOLD: Final = "Comfy.TutorialCompleted"


@dataclass(frozen=True)
class UserdataRoutes:
    """Settings and files of the caller, sealed and reached by nobody else."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        file, move = "/userdata/{file:path}", "/userdata/{file:path}/move/{dest:path}"
        return (
            Route("GET", "/settings", self.settings, told.SETTINGS),
            Route("POST", "/settings", self.post_settings, told.POST_SETTINGS),
            Route("GET", "/settings/{id:path}", self.setting, told.SETTING),
            Route("POST", "/settings/{id:path}", self.post_setting, told.POST_SETTING),
            Route("GET", "/userdata", self.listing, told.USERDATA),
            Route("GET", "/v2/userdata", self.folder, told.USERDATA_FOLDER),
            Route("POST", move, self.move_file, told.MOVE_FILE),
            Route("GET", file, self.file, told.FILE),
            Route("POST", file, self.post_file, told.POST_FILE),
            Route("DELETE", file, self.delete_file, told.DELETE_FILE),
        )

    async def settings(self, request: Request) -> Response:
        """Return the settings of the caller, but for the one that hides our first graph."""
        who = await self.gateway.who(request)
        kept = await self.gateway.documents.settings(who)
        return JSONResponse({name: value for name, value in kept.items() if name != UNTOLD})

    async def post_settings(self, request: Request) -> Response:
        """Keep some settings; the others stay."""
        who = await self.gateway.who(request)
        value = await _json(request)
        if not isinstance(value, dict):
            raise Refused("The body must be a JSON object", kind="invalid_json", field="body")
        await self.gateway.documents.set(
            who, {setting_name(name): item for name, item in value.items()}
        )
        return Response(status_code=200)

    async def setting(self, request: Request) -> Response:
        """Return a setting, or null."""
        who = await self.gateway.who(request)
        name = setting_name(request.path_params["id"])
        return JSONResponse(await self.gateway.documents.setting(who, name))

    async def post_setting(self, request: Request) -> Response:
        """Keep a setting."""
        who = await self.gateway.who(request)
        name = setting_name(request.path_params["id"])
        await self.gateway.documents.set(who, {name: await _json(request)})
        return Response(status_code=200)

    async def listing(self, request: Request) -> Response:
        """List the files of a folder: `dir`, `recurse`, `full_info`, `split`."""
        who = await self.gateway.who(request)
        asked = request.query_params
        if not asked.get("dir"):
            raise Refused("dir is required", kind="missing_dir", field="dir")
        folder = folder_name(asked["dir"])
        files = await self.gateway.documents.files(who)
        found = inside(folder, files, recurse=_flag(request, "recurse"))
        if _flag(request, "full_info"):
            return JSONResponse([_shown(name, item) for name, item in found])
        if _flag(request, "split"):
            return JSONResponse([[name, *name.split("/")] for name, _ in found])
        return JSONResponse([name for name, _ in found])

    async def folder(self, request: Request) -> Response:
        """List the files and folders right inside the folder `path`."""
        who = await self.gateway.who(request)
        folder = folder_name(request.query_params.get("path", ""))
        files = await self.gateway.documents.files(who)
        shown: list[Json] = [
            {"name": name, "path": _joined(folder, name), "type": "directory"}
            for name in folders_inside(folder, files)
        ]
        for name, item in inside(folder, files, recurse=False):
            facts = {"size": item.size_bytes, "modified": _milliseconds(item.modified)}
            shown.append({"name": name, "path": item.name, "type": "file", **facts})
        return JSONResponse(shown)

    async def file(self, request: Request) -> Response:
        """Return a file as it was saved."""
        who = await self.gateway.who(request)
        (name,) = _names(request, 1)
        data = await self.gateway.documents.read(who, name)
        style = name == STYLE
        return Response(
            data,
            media_type="text/css" if style else "application/octet-stream",
            headers={
                "Content-Disposition": "inline" if style else "attachment",
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "default-src 'none'; sandbox",
                "Cache-Control": "private, no-store",
            },
        )

    async def post_file(self, request: Request) -> Response:
        """Save a file; `overwrite=false` leaves one of that name alone."""
        who = await self.gateway.who(request)
        (name,) = _names(request, 1)
        data = await read_body(request, FILE_BYTES_MAX, "file")
        overwrite = _flag(request, "overwrite", default=True)
        saved = await self.gateway.documents.save(who, name, data, overwrite=overwrite)
        return _kept(request, saved)

    async def move_file(self, request: Request) -> Response:
        """Give a file another name; `overwrite=false` leaves one of that name alone."""
        sent = segments_after(request.scope["raw_path"], "userdata")
        if len(sent) == 1:
            return await self.post_file(request)
        who = await self.gateway.who(request)
        name, to = _names(request, 2)
        overwrite = _flag(request, "overwrite", default=True)
        moved = await self.gateway.documents.move(who, name, to, overwrite=overwrite)
        return _kept(request, moved)

    async def delete_file(self, request: Request) -> Response:
        """Take a file away."""
        who = await self.gateway.who(request)
        (name,) = _names(request, 1)
        await self.gateway.documents.remove(who, name)
        return Response(status_code=204)


def _names(request: Request, count: int) -> list[str]:
    """Return the `count` names of documents in the path, as they were sent."""
    sent = segments_after(request.scope["raw_path"], "userdata")
    if len(sent) == 3 and sent[1] == MOVE:  # noqa: PLR2004
        if count == 1:
            raise HTTPException(405, headers={"Allow": "POST"})
        del sent[1]
    if len(sent) != count:
        raise NotFound("There is no such file; a slash inside a name is sent as %2F", field="file")
    return [document_name(name) for name in sent]


async def _json(request: Request) -> Json:
    body = await read_body(request, COMMAND_BYTES_MAX, "the body")
    value = parse_json(body)
    if found := flaw(value):
        raise Refused(f"The body {found}", kind="invalid_json", field="body")
    return value


def _flag(request: Request, name: str, *, default: bool = False) -> bool:
    text = request.query_params.get(name)
    return default if text is None else text.lower() not in ("false", "0", "")


def _kept(request: Request, item: Listed) -> Response:
    full = _flag(request, "full_info")
    return JSONResponse(_shown(item.name, item) if full else item.name)


def _shown(name: str, item: Listed) -> JsonObject:
    return {
        "path": name,
        "size": item.size_bytes,
        "modified": _milliseconds(item.modified),
        "created": _milliseconds(item.created),
    }


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
