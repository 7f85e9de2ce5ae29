"""GET /: the editor where it is installed, else a small page of ours; and the licences."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from libs.core.errors import Unauthorized
from libs.core.ids import is_canonical_uuid
from libs.core.jsonvalue import Json, JsonObject
from libs.nodes.templates import DEMO as DEMO_TEMPLATE
from services.gateway.gateway import Gateway
from services.gateway.openapi import operations as told
from services.gateway.routes.table import Route

PAGES: Final = Path(__file__).parents[1] / "pages"
DEMO: Final = Path(__file__).parents[3] / "libs" / "weights" / "demo"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
STATIC: Final = {
    "index.html": "text/html; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "gpl-3.0.txt": "text/plain; charset=utf-8",
}
EDITOR: Final = (
    "<dt>ComfyUI's editor {version}</dt>"
    "<dd>GNU General Public License, version 3 only (<a href='/licences/gpl-3.0.txt'>text</a>). "
    "It comes from the package <code>comfyui-frontend-package</code>, is served as it came, and runs "
    "in your browser. <a rel='noreferrer' href='{source}'>Source of this version</a>.</dd>"
)
# A browser that has it was here before: its editor knows what was open last.
OPENED: Final = "studio_opened"
OPENED_SECONDS: Final = 365 * 24 * 3600
NO_EDITOR: Final = "<dt>ComfyUI's editor</dt><dd>Not installed on this server.</dd>"


@dataclass(frozen=True)
class PageRoutes:
    """The page and what it shows; it holds nothing that is anybody's."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (
            Route("GET", "/", self.root, told.ROOT, api=False),
            Route("GET", "/page", self.page, told.PAGE, api=False),
            Route("GET", "/licences", self.licences, told.PAGE, api=False),
            Route("GET", "/licences/gpl-3.0.txt", self.gpl, told.TEXT, api=False),
            Route("GET", "/pages/page.js", self.script, told.SCRIPT, api=False),
            Route("GET", "/pages/page.css", self.style, told.STYLE, api=False),
            Route("GET", "/demo", self.demo, told.DEMO),
        )

    async def root(self, request: Request) -> Response:
        """Show the editor, or the page without one; whoever is not known is asked for a key."""
        editor = self.gateway.editor
        try:
            await self.gateway.who(request)
        except Unauthorized:
            # The editor cannot ask for a key, and sends none but in a cookie.
            return RedirectResponse("/login", 303)
        if editor is None:
            return _static("index.html")
        workflow = request.query_params.get("workflow", "")
        if is_canonical_uuid(workflow):
            # The editor opens by itself what it is told of as a template.
            return _to_template(workflow)
        return _to_template(DEMO_TEMPLATE) if _is_first_visit(request) else editor.index()

    async def licences(self, _request: Request) -> Response:
        """Name the licences of what is served here, and where its source is."""
        editor = self.gateway.editor
        shown = (PAGES / "licences.html").read_text(encoding="utf-8")
        words = EDITOR.format(version=editor.version, source=editor.source) if editor else NO_EDITOR
        return page_of(shown.replace("{editor}", words).encode())

    async def gpl(self, _request: Request) -> Response:
        """Return the GNU General Public License, version 3."""
        return _static("gpl-3.0.txt")

    async def page(self, _request: Request) -> Response:
        """Show what this is, with a form that makes a picture."""
        return _static("index.html")

    async def script(self, _request: Request) -> Response:
        """Return the page's script."""
        return _static("page.js")

    async def style(self, _request: Request) -> Response:
        """Return the page's style."""
        return _static("page.css")

    async def demo(self, request: Request) -> Response:
        """Return what the demo model knows, and a graph that uses it."""
        try:
            await self.gateway.who(request)
        except Unauthorized:
            known = False
        else:
            known = True
        auth = self.gateway.settings.auth
        return JSONResponse({"auth": auth, "known": known, **demo_of(DEMO)})


def _is_first_visit(request: Request) -> bool:
    browses = "text/html" in request.headers.get("accept", "")
    return browses and not request.url.query and OPENED not in request.cookies


def _to_template(name: str) -> Response:
    """Lead to the same page with a graph open: what the editor begins with asks for big files."""
    answer = RedirectResponse(f"/?template={name}", 302, {"Cache-Control": "no-store"})
    answer.set_cookie(OPENED, "1", OPENED_SECONDS, httponly=True, samesite="lax")
    return answer


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
    return page_of((PAGES / name).read_bytes(), STATIC[name])


def page_of(content: bytes, mime: str = STATIC["index.html"], *, status: int = 200) -> Response:
    """Return a page that loads nothing from elsewhere and stands in nobody's frame."""
    return Response(
        content,
        status,
        media_type=mime,
        headers={
            "Content-Security-Policy": POLICY,
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        },
    )
