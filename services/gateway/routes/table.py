"""How routes are laid out: each handler once, bare and under /api."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from libs.core.jsonvalue import JsonObject
from services.gateway.openapi.document import document
from services.gateway.openapi.words import Doc

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """One path and method; `bare` and `api` say under which prefixes it exists."""

    method: str
    path: str
    handler: Handler
    doc: Doc
    bare: bool = True
    api: bool = True

    @property
    def summary(self) -> str:
        """Return the first sentence of the handler."""
        return (self.handler.__doc__ or "").strip().partition("\n")[0]

    @property
    def paths(self) -> tuple[str, ...]:
        """Return where it is found."""
        under_api = (f"/api{self.path}",) if self.api else ()
        return (*under_api, self.path) if self.bare else under_api


def add_routes(app: FastAPI, routes: Iterable[Route]) -> None:
    """Add every route, and what `/openapi.json` says of all of them."""
    table = tuple(routes)
    for route in table:
        _add(app, route, route.method)
    for route in table:
        if route.method == "GET":
            # Behind all others: nobody who asks for more than the headers has to wait for these.
            _add(app, route, "HEAD")
    made: list[JsonObject] = []

    def openapi() -> JsonObject:
        if not made:
            made.append(document(app.title, table))
        return made[0]

    app.openapi = openapi  # type: ignore[method-assign]


def _add(app: FastAPI, route: Route, method: str) -> None:
    for path in route.paths:
        app.add_api_route(
            path, route.handler, methods=[method], include_in_schema=False, response_model=None
        )
