"""How routes are laid out: method, path and handler in one line each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """One path and method; `openapi.py` says the rest of it."""

    method: str
    path: str
    handler: Handler

    @property
    def summary(self) -> str:
        """Return the first sentence of the handler."""
        return (self.handler.__doc__ or "").strip().partition("\n")[0]


def add_routes(app: FastAPI, routes: Iterable[Route]) -> None:
    """Add every route; every GET answers HEAD as well."""
    for route in routes:
        methods = ["GET", "HEAD"] if route.method == "GET" else [route.method]
        app.add_api_route(
            route.path,
            route.handler,
            methods=methods,
            include_in_schema=False,
            response_model=None,
        )
