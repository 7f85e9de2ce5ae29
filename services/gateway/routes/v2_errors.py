"""Errors of Comfy API v2: their own envelope around the house's own refusals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.errors import Refused, StudioError
from libs.core.jsonvalue import Json, JsonObject
from libs.graph.refusal import GraphRefused
from services.gateway.errors import body_of, response_of

CODES: Final = {
    401: "unauthorized",
    402: "insufficient_credits",
    403: "forbidden",
    404: "not_found",
    429: "queue_full",
}
# These say more than the status does.
OWN: Final = frozenset(
    {
        "blob_not_found",
        "hash_mismatch",
        "asset_in_use",
        "idempotency_key_reuse",
        "missing_asset",
        "workflow_format_ui",
        "metadata_not_supported",
        "too_many_streams",
    }
)
UNPROCESSABLE: Final = 422
WRONG: Final = 400

Routes = TypeVar("Routes")
Handler = Callable[[Routes, Request], Awaitable[Response]]


def enveloped(handler: Handler[Routes]) -> Handler[Routes]:
    """Let a route answer with the contract's envelope whatever is refused in it."""

    @wraps(handler)
    async def answering(routes: Routes, request: Request) -> Response:
        try:
            return await handler(routes, request)
        except StudioError as error:
            return _answer(error)

    return answering


def _answer(error: StudioError) -> Response:
    # Counted, logged and given its headers like every other refusal.
    plain = response_of(error)
    status = UNPROCESSABLE if plain.status_code == WRONG else plain.status_code
    kind = error.kind if isinstance(error, Refused) else error.code
    problem = body_of(error).get("error")
    facts = problem.get("extra_info") if isinstance(problem, dict) else None
    told: JsonObject = {"message": error.message, "details": facts or None}
    if isinstance(error, GraphRefused):
        told |= _of_graph(error)
    told["code"] = kind if kind in OWN else CODES.get(status, _other(error, status, kind))
    headers = {
        name: value
        for name, value in plain.headers.items()
        if name in ("retry-after", "connection", "www-authenticate")
    }
    return JSONResponse({"error": told}, status, headers=headers)


def _other(error: StudioError, status: int, kind: str) -> str:
    if isinstance(error, GraphRefused):
        return "invalid_workflow"
    return kind if status < 500 else "upstream_error"  # noqa: PLR2004


def _of_graph(error: GraphRefused) -> JsonObject:
    problem = error.body.get("error")
    facts = problem if isinstance(problem, dict) else {}
    said: list[Json] = [facts.get(name) for name in ("message", "details")]
    message = ": ".join(str(part) for part in said if part)
    details: JsonObject = {"error": facts, "node_errors": error.body.get("node_errors")}
    return {"message": message or error.message, "details": details}
