"""Every error as clients of ComfyUI read it (P10); extra facts ride in `extra_info`."""

from __future__ import annotations

from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from libs.core.errors import Misconfigured, Poisoned, Refused, StudioError, Unavailable
from libs.core.jsonvalue import Json, JsonObject
from libs.graph.refusal import GraphRefused, problem, shown
from services.gateway import metrics

RETRY_AFTER_SECONDS: Final = 1
# What these name is our own business: servers, addresses, settings.
SILENT: Final = (Unavailable, Poisoned, Misconfigured)

log = structlog.get_logger(__name__)


class Busy(Unavailable):
    """The house could not answer in time; asking again is right."""

    code = "busy"


class TooLarge(Refused):
    """A body is beyond its limit; `hangs_up` when nobody will read the rest of it."""

    code = "too_large"
    http_status = 413

    def __init__(self, what: str, bytes_max: int, *, hangs_up: bool = False) -> None:
        super().__init__(f"{what} has more than {bytes_max} bytes", field=what, limit=bytes_max)
        self.hangs_up = hangs_up


def install(app: FastAPI) -> None:
    """Render everything that goes wrong in one way."""
    app.add_exception_handler(StudioError, _studio_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _internal)


def status_of(error: StudioError) -> int:
    """Return the HTTP status of an error."""
    return error.status if isinstance(error, Refused) else error.http_status


def body_of(error: StudioError) -> JsonObject:
    """Return the body of an error."""
    if isinstance(error, GraphRefused):
        return error.body
    facts = {} if isinstance(error, SILENT) else error.facts
    extra_info = {name: _json(value) for name, value in facts.items()}
    field = extra_info.get("field")
    kind = error.kind if isinstance(error, Refused) else error.code
    details = str(field) if isinstance(field, str) else ""
    return {"error": problem(kind, error.message, details, **extra_info), "node_errors": {}}


def response_of(error: StudioError) -> JSONResponse:
    """Return the whole answer to a request that failed."""
    status = status_of(error)
    if status >= 500:  # noqa: PLR2004
        log.warning("request_failed", code=error.code, error=str(error))
    metrics.REFUSED.labels(error.kind if isinstance(error, Refused) else error.code).inc()
    return JSONResponse(body_of(error), status, headers=_headers(error, status))


def _headers(error: StudioError, status: int) -> dict[str, str]:
    retry_after = error.facts.get("retry_after_seconds")
    if status == Unavailable.http_status and retry_after is None:
        retry_after = RETRY_AFTER_SECONDS
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
    if isinstance(error, TooLarge) and error.hangs_up:
        headers["Connection"] = "close"
    if status == 401:  # noqa: PLR2004
        headers["WWW-Authenticate"] = "Bearer"
    return headers


async def _studio_error(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, StudioError):
        raise error
    return response_of(error)


async def _http_exception(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    kind = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    body: JsonObject = {"error": problem(kind, str(error.detail), ""), "node_errors": {}}
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return JSONResponse(body, error.status_code, headers=headers)


def _methods(request: Request) -> set[str]:
    """Return all methods of the path; each has a route of its own, which knows of no other."""
    routes = request.app.routes
    paths = [route.path for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    same = [getattr(route, "methods", None) or () for route in routes if route.path in paths[:1]]
    return {method for methods in same for method in methods}


async def _internal(request: Request, error: Exception) -> JSONResponse:
    # The route's pattern, never the path: paths may name files.
    route = getattr(request.scope.get("route"), "path", "unknown")
    log.error("internal_error", route=route, exc_info=error)
    body: JsonObject = {
        "error": problem("internal", "Something went wrong on our side", ""),
        "node_errors": {},
    }
    return JSONResponse(body, 500)


def _json(value: object) -> Json:
    if isinstance(value, str | int | float | bool | None):
        return shown(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(item) for item in value]
    return str(value)
