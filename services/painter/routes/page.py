"""The page: built files as they are, and a plain word where they are not built."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from libs.core.errors import NotFound
from services.painter.errors import WHATEVER_IS_LEFT, methods_of
from services.painter.painter import Painter
from services.painter.routes.table import Route

SITE: Final = Path(__file__).parents[1] / "site"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; font-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MIMES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
INDEX: Final = "index.html"
FOR_EVER: Final = "public, max-age=31536000, immutable"
NOT_BUILT: Final = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>Painter</title>"
    "<h1>Painter's page is not built here</h1><p>The API works: see <a href=/openapi.json>"
    "/openapi.json</a>. <code>make up</code> builds the page; in a checkout, "
    "<code>python deploy/set_up.py run</code> does.</p>"
)


@dataclass(frozen=True)
class PageRoutes:
    """Whatever the build put into the folder, and nothing outside of it."""

    painter: Painter
    site: Path = SITE

    def routes(self) -> Iterable[Route]:
        """Return the table of this file; its last line takes whatever is left."""
        return (Route("GET", "/", self.index), Route("GET", WHATEVER_IS_LEFT, self.file))

    async def index(self, _request: Request) -> Response:
        """Show the page."""
        path = self.site / INDEX
        if not path.is_file():
            return _served(NOT_BUILT.encode(), ".html", "no-cache", 404)
        return _served(path.read_bytes(), ".html", "no-cache")

    async def file(self, request: Request) -> Response:
        """Return a file of the page."""
        if methods := methods_of(request):
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(methods))})
        asked = str(request.path_params["path"])
        mime = Path(asked).suffix.lower()
        if "\0" in asked or mime not in MIMES or asked.startswith("api/"):
            raise NotFound("There is no such page.")
        path = (self.site / asked).resolve()
        if not path.is_relative_to(self.site.resolve()) or not path.is_file():
            raise NotFound("There is no such file.")
        keep = FOR_EVER if asked.startswith("assets/") else "no-cache"
        return _served(path.read_bytes(), mime, keep)


def _served(content: bytes, suffix: str, keep: str, status: int = 200) -> Response:
    return Response(
        content,
        status,
        media_type=MIMES[suffix],
        headers={
            "Content-Security-Policy": POLICY,
            "Cache-Control": keep,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        },
    )
