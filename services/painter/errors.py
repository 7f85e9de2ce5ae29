"""Every error as one plain sentence for a person and a few facts for a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from libs.core.errors import Misconfigured, Poisoned, Refused, StudioError, Unavailable
from libs.core.jsonvalue import Json, JsonObject
from libs.graph.refusal import problem, shown
from services.painter import metrics

RETRY_AFTER_SECONDS: Final = 2
# What these name is our own business: servers, addresses, settings.
SILENT: Final = (Unavailable, Poisoned, Misconfigured)
# The page's own files: a path that is told as nothing else.
WHATEVER_IS_LEFT: Final = "/{path:path}"
KINDS: Final = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}

log = structlog.get_logger(__name__)


class NotMade(Refused):
    """A generation ended without a picture; not the caller's fault unless its status says so."""

    code = "generation_failed"
    http_status = 500


def install(app: FastAPI) -> None:
    """Render everything that goes wrong in one way."""
    app.add_exception_handler(StudioError, _studio_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _internal)


def invalid(field: str, message: str, **facts: object) -> Refused:
    """Refuse one field of a body or a query."""
    return Refused(message, kind="invalid_field", status=400, field=field, **facts)


def response_of(error: StudioError) -> JSONResponse:
    """Return the whole answer to a request that failed."""
    status = error.status if isinstance(error, Refused) else error.http_status
    kind = error.kind if isinstance(error, Refused) else error.code
    metrics.REFUSED.labels(kind).inc()
    facts = {} if isinstance(error, SILENT) else error.facts
    extra: JsonObject = {name: _json(value) for name, value in facts.items()}
    details = str(extra.pop("details", "") or extra.get("field", ""))
    message = error.message
    if isinstance(error, SILENT):
        log.warning("request_failed", code=error.code, error=str(error))
        message = "Studio does not answer right now. Try again in a moment."
    body: JsonObject = {"error": problem(kind, message, details, **extra)}
    return JSONResponse(body, status, headers=_headers(error, status))


def _headers(error: StudioError, status: int) -> dict[str, str]:
    retry_after = error.facts.get("retry_after_seconds")
    if status == Unavailable.http_status and retry_after is None:
        retry_after = RETRY_AFTER_SECONDS
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
    if status == 401:  # noqa: PLR2004
        headers["WWW-Authenticate"] = "Bearer"
    return headers


async def _studio_error(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, StudioError):
        raise error
    return response_of(error)


def refusal_of(error: ValidationError) -> Refused:
    """Return what is wrong with a body, as far as its first fault."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "body"
    if first["type"] == "json_invalid":
        return invalid("body", "The body is not valid JSON.")
    limits = {
        name: value
        for name, value in first.get("ctx", {}).items()
        if isinstance(value, int | float | str)
    }
    return invalid(field, f"{field}: {_sentence(dict(first))}", **_limit(limits))


def _sentence(found: dict[str, object]) -> str:
    if found["type"] == "extra_forbidden":
        return "there is no such field."
    if found["type"] == "missing":
        return "this field is needed."
    words = str(found["msg"]).rstrip(".").removeprefix("Value error, ")
    return f"{words[:1].lower()}{words[1:]}."


def _limit(limits: Mapping[str, object]) -> dict[str, object]:
    for name in ("le", "ge", "lt", "gt", "max_length", "min_length"):
        if name in limits:
            return {"limit": limits[name]}
    return {"allowed": limits["expected"]} if "expected" in limits else {}


async def _http_exception(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    kind = KINDS.get(error.status_code, "bad_request")
    body: JsonObject = {"error": problem(kind, str(error.detail), "")}
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(methods_of(request)))
    return JSONResponse(body, error.status_code, headers=headers)


def methods_of(request: Request) -> set[str]:
    """Return all methods of the path; each has a route of its own, which knows of no other."""
    routes = [route for route in request.app.routes if route.path != WHATEVER_IS_LEFT]
    paths = [route.path for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    same = [route.methods or () for route in routes if route.path in paths[:1]]
    return {method for methods in same for method in methods}


async def _internal(request: Request, error: Exception) -> JSONResponse:
    # The route's pattern, never the path: paths may name files.
    route = getattr(request.scope.get("route"), "path", "unknown")
    log.error("internal_error", route=route, exc_info=error)
    body: JsonObject = {"error": problem("internal", "Something went wrong on our side.", "")}
    return JSONResponse(body, 500)


def _json(value: object) -> Json:
    if isinstance(value, str | int | float | bool | None):
        return shown(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(item) for item in value]
    return str(value)
