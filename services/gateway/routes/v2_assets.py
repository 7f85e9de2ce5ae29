"""/api/v2/assets: files by the hash of their bytes, as the official SDK asks for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.errors import NotFound, Refused
from libs.core.jsonvalue import JsonObject
from services.gateway.assets import Asset
from services.gateway.forms import read_form
from services.gateway.gateway import Gateway
from services.gateway.http import COMMAND_BYTES_MAX, parse_json, read_body
from services.gateway.openapi import v2 as told
from services.gateway.routes.files import served
from services.gateway.routes.table import Route
from services.gateway.routes.v2_errors import enveloped


@dataclass(frozen=True)
class AssetRoutes:
    """The caller's uploads and outputs."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        one = "/v2/assets/{id}"
        return (
            Route("POST", "/v2/assets", self.keep, told.KEEP, bare=False),
            Route("POST", "/v2/assets/from-hash", self.from_hash, told.FROM_HASH, bare=False),
            Route("HEAD", "/v2/assets/by-hash/{hash}", self.by_hash, told.BY_HASH, bare=False),
            Route("GET", one, self.asset, told.ASSET, bare=False),
            Route("DELETE", one, self.forget, told.FORGET, bare=False),
            Route("GET", f"{one}/content", self.content, told.CONTENT, bare=False),
        )

    @enveloped
    async def keep(self, request: Request) -> Response:
        """Keep a file: form fields `file`, `file_path`, `content_type`, `expected_hash`."""
        who = await self.gateway.who(request)
        form = await read_form(request, self.gateway.settings.upload_bytes_max)
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Refused("The form has no file", kind="missing_file", field="file")
        path = _text(form, "file_path") or file.filename or ""
        asset, new = await self.gateway.assets.keep(
            who, await file.read(), path, _text(form, "expected_hash")
        )
        return JSONResponse(_made(request, asset, new=new), 201 if new else 200)

    @enveloped
    async def from_hash(self, request: Request) -> Response:
        """Return the asset whose bytes are here already."""
        who = await self.gateway.who(request)
        body = parse_json(await read_body(request, COMMAND_BYTES_MAX, "the body"))
        digest = body.get("hash") if isinstance(body, dict) else None
        asset = None
        if isinstance(digest, str):
            asset = await self.gateway.assets.by_hash(who, digest)
        if asset is None:
            raise _no_blob()
        return JSONResponse(_made(request, asset, new=False))

    @enveloped
    async def by_hash(self, request: Request) -> Response:
        """Say whether bytes with this hash are here."""
        who = await self.gateway.who(request)
        if await self.gateway.assets.by_hash(who, request.path_params["hash"]) is None:
            raise _no_blob()
        return Response(status_code=200)

    @enveloped
    async def asset(self, request: Request) -> Response:
        """Return what is known of an asset."""
        who = await self.gateway.who(request)
        found = await self.gateway.assets.find(who, request.path_params["id"])
        return JSONResponse(found.shown(base_url(request)))

    @enveloped
    async def forget(self, request: Request) -> Response:
        """Delete the record of an upload; the file stays among the inputs."""
        who = await self.gateway.who(request)
        await self.gateway.assets.forget(who, request.path_params["id"])
        return Response(status_code=204)

    @enveloped
    async def content(self, request: Request) -> Response:
        """Return the bytes of an asset, or the part that is asked for."""
        who = await self.gateway.who(request)
        file = await self.gateway.assets.read(who, request.path_params["id"])
        return await served(request, file)


def base_url(request: Request) -> str:
    """Return the address that the caller reached us under, without a slash at its end."""
    return str(request.base_url).rstrip("/")


def _made(request: Request, asset: Asset, *, new: bool) -> JsonObject:
    return {**asset.shown(base_url(request)), "created_new": new}


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


def _no_blob() -> NotFound:
    return NotFound("No bytes with this hash are here", kind="blob_not_found", field="hash")
