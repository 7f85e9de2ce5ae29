"""How routes are laid out: each handler once, bare and under /api."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """One path and method; `bare` and `api` say under which prefixes it exists."""

    method: str
    path: str
    handler: Handler
    bare: bool = True
    api: bool = True


def add_routes(app: FastAPI, routes: Iterable[Route]) -> None:
    """Add every route; the documents show the one under /api."""
    for route in routes:
        if route.api:
            _add(app, f"/api{route.path}", route, shown=True)
        if route.bare:
            _add(app, route.path, route, shown=not route.api)


def _add(app: FastAPI, path: str, route: Route, *, shown: bool) -> None:
    app.add_api_route(
        path,
        route.handler,
        methods=[route.method],
        include_in_schema=shown,
        response_model=None,
        summary=(route.handler.__doc__ or "").strip().partition("\n")[0],
    )
