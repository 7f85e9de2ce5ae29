"""Control maps: what of a picture is followed, to be seen before a picture is made of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.errors import NotFound
from services.painter.domain.bodies import MapBody
from services.painter.domain.maps import TYPES, plainly, told_map
from services.painter.errors import NotMade
from services.painter.http import read_model
from services.painter.painter import Painter
from services.painter.routes.files import file_answer
from services.painter.routes.generate import STATUS, body_bytes_max, wants_no_waiting
from services.painter.routes.table import Route


@dataclass(frozen=True)
class MapRoutes:
    """Making a map, and looking at it."""

    painter: Painter

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        one = "/api/control-maps/{map_id}"
        return (
            Route("POST", "/api/control-maps", self.make),
            Route("GET", one, self.one),
            Route("GET", f"{one}/image", self.image),
        )

    async def make(self, request: Request) -> Response:
        """Show what of a picture is followed; the same picture and type is made but once."""
        caller = self.painter.who(request)
        await self.painter.knowing.caller(caller)
        body = await read_model(request, MapBody, body_bytes_max(self.painter, 1))
        found = await self.painter.mapping.make(caller, body)
        waits = not wants_no_waiting(request)
        if waits:
            seconds = self.painter.settings.wait_seconds
            found = await self.painter.mapping.settled(caller, found, seconds)
        if waits and found.status in TYPES:
            raise NotMade(
                plainly(found),
                kind=TYPES[found.status],
                status=STATUS[found.status],
                map_id=found.map_id,
            )
        painter = self.painter.places(request).painter
        headers = {"Location": f"{painter}/api/control-maps/{found.map_id}"}
        if not waits:
            headers["Preference-Applied"] = "respond-async"
        return JSONResponse(
            told_map(found, painter), 202 if found.is_open else 200, headers=headers
        )

    async def one(self, request: Request) -> Response:
        """Return a map as it is now."""
        caller = self.painter.who(request)
        found = await self.painter.mapping.one(caller, str(request.path_params["map_id"]))
        return JSONResponse(told_map(found, self.painter.places(request).painter))

    async def image(self, request: Request) -> Response:
        """Return the map itself; `preview=webp;80` makes it small."""
        caller = self.painter.who(request)
        found = await self.painter.mapping.one(caller, str(request.path_params["map_id"]))
        if found.file is None or found.status != "succeeded":
            raise NotFound("This map is not there yet.", field="map_id")
        return await file_answer(self.painter, request, caller, found.file)
