"""GET /: a small page of ours."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.jsonvalue import Json, JsonObject
from services.gateway.gateway import Gateway
from services.gateway.openapi import operations as told
from services.gateway.routes.table import Route

PAGES: Final = Path(__file__).parents[1] / "pages"
DEMO: Final = Path(__file__).parents[3] / "libs" / "weights" / "demo"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
STATIC: Final = {
    "index.html": "text/html; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
}


@dataclass(frozen=True)
class PageRoutes:
    """The page and what it shows; it holds nothing that is anybody's."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (
            Route("GET", "/", self.page, told.PAGE, api=False),
            Route("GET", "/pages/page.js", self.script, told.SCRIPT, api=False),
            Route("GET", "/pages/page.css", self.style, told.STYLE, api=False),
            Route("GET", "/demo", self.demo, told.DEMO),
        )

    async def page(self, _request: Request) -> Response:
        """Show what this is, with a form that makes a picture."""
        return _static("index.html")

    async def script(self, _request: Request) -> Response:
        """Return the page's script."""
        return _static("page.js")

    async def style(self, _request: Request) -> Response:
        """Return the page's style."""
        return _static("page.css")

    async def demo(self, _request: Request) -> Response:
        """Return what the demo model knows, and a graph that uses it."""
        return JSONResponse({"auth": self.gateway.settings.auth, **demo_of(DEMO)})


@cache
def demo_of(folder: Path) -> JsonObject:
    """Return the demo model's card and default graph, as far as they are there."""
    return {"card": _read(folder / "card.json"), "graph": _read(folder / "graph.json")}


def _read(path: Path) -> Json:
    try:
        found: Json = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def _static(name: str) -> Response:
    return Response(
        (PAGES / name).read_bytes(),
        media_type=STATIC[name],
        headers={
            "Content-Security-Policy": POLICY,
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        },
    )
