"""The server's side of a trace: one span for each request that asks for something to be done."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.telemetry import tracing
from libs.telemetry.scope import is_sampled, valid_traceparent

# Whoever only looks would drown the traces of prompts, and is traced when it brings a trace.
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FAILED_MIN: Final = 500


class Traced:
    """A plain ASGI layer, so that bodies stay streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on inside the request's span."""
        caller = caller_of(scope) if scope["type"] == "http" else ""
        reads = scope["type"] != "http" or scope["method"] in READING
        if reads and not (caller and is_sampled(caller)):
            await self._app(scope, receive, send)
            return
        with _begin(scope["method"], caller) as span:

            async def told(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _tell(span, scope, message["status"])
                await send(message)

            await self._app(scope, receive, told)


def caller_of(scope: Scope) -> str:
    """Return the traceparent that the caller sent, if it is one."""
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return valid_traceparent(value.decode("latin-1").strip())
    return ""


def _begin(method: str, caller: str) -> tracing.Span:
    if caller:
        return tracing.span(method, kind="server", parent=caller, http__request__method=method)
    return tracing.root(method, http__request__method=method)


def _tell(span: tracing.Span, scope: Scope, status: int) -> None:
    if not span.recorded:
        return
    # The route's pattern, never the path: paths are chosen by strangers and may name files.
    route = getattr(scope.get("route"), "path", "")
    span.rename(f"{scope['method']} {route}".strip())
    span.note(http__route=route, http__response__status_code=status)
    if status >= FAILED_MIN:
        span.fail(str(status))
