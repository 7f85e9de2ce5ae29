"""A file of Studio's, handed on with what a browser should hear of it."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from libs.core.jsonvalue import JsonObject
from services.painter.caller import Caller
from services.painter.painter import Painter

PREVIEW_CHARACTERS_MAX: Final = 20
# What Studio says of a file that a browser should hear too.
PASSED_ON: Final = (
    *("content-type", "content-disposition", "etag", "cache-control", "x-content-type-options"),
    *("content-security-policy", "cross-origin-resource-policy", "accept-ranges"),
    "content-range",
)
ASKED_FOR: Final = ("if-none-match", "range", "if-range")


async def file_answer(
    painter: Painter, request: Request, caller: Caller, file: JsonObject
) -> Response:
    """Return a file; the query `preview=webp;80` makes it small."""
    if preview := request.query_params.get("preview", "")[:PREVIEW_CHARACTERS_MAX]:
        file = {**file, "preview": preview}
    wishes = {name: request.headers[name] for name in ASKED_FOR if name in request.headers}
    answer = await painter.studio.view(caller, file, wishes)
    headers = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
    return Response(answer.content, answer.status_code, headers=headers)
