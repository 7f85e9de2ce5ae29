"""Everything that routes may use, in one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request

from libs.chassis.sites import LOOPBACK, refuse_other_origins, refuse_other_sites
from services.painter.caller import Caller, caller_of
from services.painter.domain.telling import Places
from services.painter.enhancing import Enhancing
from services.painter.generations import Generations
from services.painter.keeping import Keeping
from services.painter.knowing import Knowing
from services.painter.making import Making
from services.painter.mapping import Mapping
from services.painter.pictures import Pictures
from services.painter.settings import PainterSettings
from services.painter.studio import Studio

STUDIO_PORT: Final = 8188
READING: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Painter:
    """Painter's hands; `main.build` puts them together."""

    settings: PainterSettings
    database: AsyncEngine
    studio: Studio
    knowing: Knowing
    keeping: Keeping
    pictures: Pictures
    generations: Generations
    making: Making
    mapping: Mapping
    enhancing: Enhancing

    def who(self, request: Request) -> Caller:
        """Return who is asking; Forbidden for what a browser asks for another site."""
        refuse_other_sites(request.headers, self.settings.host)
        caller = caller_of(request)
        if caller.by_cookie and request.method not in READING:
            # A browser sends its cookie with what pages of other ports do as well.
            refuse_other_origins(request.headers)
        return caller

    def places(self, request: Request) -> Places:
        """Return where the caller finds Painter and Studio."""
        painter = self.settings.public_url or f"{request.url.scheme}://{request.url.netloc}"
        return Places(painter.rstrip("/"), self.studio_place(request))

    def studio_place(self, request: Request) -> str:
        """Return where the caller's browser finds Studio."""
        if self.settings.studio_public_url:
            return self.settings.studio_public_url.rstrip("/")
        own = urlsplit(self.settings.studio_url)
        asked = request.url.hostname or ""
        if own.hostname in LOOPBACK and asked in LOOPBACK:
            return f"{own.scheme}://{asked}:{own.port or 80}"
        host = f"[{asked}]" if ":" in asked else asked
        return f"{request.url.scheme}://{host}:{STUDIO_PORT}"
