"""GET /view, POST /upload/image and /upload/mask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import ParamSpec, TypeVar
from urllib.parse import quote

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs import glb
from libs.core.errors import Refused
from libs.core.jsonvalue import Json
from services.gateway.domain.names import file_asked_for, folder_of, kind_of, upload_name
from services.gateway.domain.ranges import byte_range
from services.gateway.files import File, Upload, sha256_of
from services.gateway.forms import read_form
from services.gateway.gateway import Gateway
from services.gateway.http import parse_json
from services.gateway.openapi import operations as told
from services.gateway.pictures import (
    Channel,
    mime_of,
    preview_of,
    render_channel,
    render_preview,
    with_mask,
)
from services.gateway.routes.table import Route

P = ParamSpec("P")
T = TypeVar("T")

CHANNELS: tuple[Channel, ...] = ("rgba", "rgb", "a")
# Anything else could run as a page on our own site.
SHOWN_INLINE = ("image/", "video/", "audio/", glb.MIME)
NEVER_INLINE = frozenset({"image/svg+xml"})
# A picture of the largest size takes half a gigabyte while it is drawn anew.
DRAWN_AT_ONCE = 2


@dataclass(frozen=True)
class FileRoutes:
    """The caller's files, out and in."""

    gateway: Gateway
    _pens: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(DRAWN_AT_ONCE))

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (
            Route("GET", "/view", self.view, told.VIEW),
            Route("POST", "/upload/image", self.upload_image, told.UPLOAD_IMAGE),
            Route("POST", "/upload/mask", self.upload_mask, told.UPLOAD_MASK),
        )

    async def view(self, request: Request) -> Response:
        """Return a file's bytes: `filename`, `subfolder`, `type`, `preview`, `channel`."""
        who = await self.gateway.who(request)
        asked = request.query_params
        kind, subfolder, name = file_asked_for(
            asked.get("filename", ""), asked.get("type", ""), asked.get("subfolder", "")
        )
        channel = _channel(asked.get("channel", "rgba"))
        file = await self.gateway.files.read(who, kind, subfolder, name)
        if "preview" in asked:
            preview = preview_of(asked["preview"])
            data, mime = await self._drawn(render_preview, file.data, preview, channel)
            file = replace(file, data=data, mime=mime)
        elif channel != "rgba":
            data, mime = await self._drawn(render_channel, file.data, channel)
            file = replace(file, data=data, mime=mime)
        return await served(request, file)

    async def upload_image(self, request: Request) -> Response:
        """Keep a picture for LoadImage: form fields `image`, `overwrite`, `type`, `subfolder`."""
        who = await self.gateway.who(request)
        form = await read_form(request, self.gateway.settings.upload_bytes_max)
        return JSONResponse(await self.gateway.files.keep(who, await _upload_of(form)))

    async def upload_mask(self, request: Request) -> Response:
        """Keep a copy of a picture with the alpha of another: also `original_ref`."""
        who = await self.gateway.who(request)
        form = await read_form(request, self.gateway.settings.upload_bytes_max)
        upload = await _upload_of(form)
        reference = _original(form.get("original_ref"))
        kind, subfolder, name = file_asked_for(*reference)
        original = await self.gateway.files.read(who, kind, subfolder, name)
        # What is kept is judged again; this one is decoded before that.
        pixels_max = self.gateway.settings.upload_pixels_max
        await asyncio.to_thread(mime_of, upload.data, pixels_max)
        masked = await self._drawn(with_mask, original.data, upload.data)
        return JSONResponse(await self.gateway.files.keep(who, replace(upload, data=masked)))

    async def _drawn(self, draw: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Return what is drawn beside the event loop, a few pictures at once."""
        async with self._pens:
            return await asyncio.to_thread(draw, *given, **named)


async def _upload_of(form: FormData) -> Upload:
    image = form.get("image")
    if not isinstance(image, UploadFile):
        raise Refused("the form has no image", kind="missing_image", field="image")
    folder = kind_of(_text(form, "type") or "input")
    if folder == "output":
        raise Refused("images are uploaded to input or temp", kind="invalid_type", field="type")
    return Upload(
        data=await image.read(),
        name=upload_name(image.filename or ""),
        folder=folder,
        subfolder=folder_of(_text(form, "subfolder")),
        overwrite=_text(form, "overwrite").lower() in ("true", "1"),
    )


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


def _original(value: object) -> tuple[str, str, str]:
    reference: Json = (
        parse_json(value.encode("utf-8", "replace")) if isinstance(value, str) else None
    )
    if not isinstance(reference, dict):
        raise Refused(
            "original_ref must be a JSON object with filename, subfolder and type",
            kind="invalid_original_ref",
            field="original_ref",
        )
    found = (reference.get(name, "") for name in ("filename", "type", "subfolder"))
    filename, kind, subfolder = (part if isinstance(part, str) else "" for part in found)
    return filename, kind, subfolder


def _named(request: Request, header: str) -> list[str]:
    return ",".join(request.headers.getlist(header)).split(",")


def _channel(name: str) -> Channel:
    for channel in CHANNELS:
        if channel == name:
            return channel
    raise Refused(
        f"channel must be one of {', '.join(CHANNELS)}", kind="invalid_channel", field="channel"
    )


async def served(request: Request, file: File) -> Response:
    """Answer with a file, or the part of it that is asked for."""
    tag = f'"{await sha256_of(file.data)}"'
    inline = file.mime.startswith(SHOWN_INLINE) and file.mime not in NEVER_INLINE
    name = f'filename="{file.name}"'
    if not file.name.isascii() or '"' in file.name or "\\" in file.name:
        name = f"filename*=UTF-8''{quote(file.name, safe='')}"
    headers = {
        "Content-Disposition": name if inline else f"attachment; {name}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "private, no-cache",
        "Accept-Ranges": "bytes",
        "ETag": tag,
    }
    known = (one.strip().removeprefix("W/") for one in _named(request, "if-none-match"))
    if any(one in (tag, "*") for one in known):
        return Response(status_code=304, headers=headers)
    mime = file.mime if inline else "application/octet-stream"
    size = len(file.data)
    asked = byte_range(request.headers.get("range", ""), size)
    if asked is None or request.headers.get("if-range", tag) != tag:
        return Response(file.data, media_type=mime, headers=headers)
    if not asked:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {asked.start}-{asked.stop - 1}/{size}"
    part = file.data[asked.start : asked.stop]
    return Response(part, status_code=206, media_type=mime, headers=headers)
