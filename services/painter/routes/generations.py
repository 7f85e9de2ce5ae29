"""A caller's generations: one, many, their pictures, their end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.errors import NotFound
from libs.core.ids import is_canonical_uuid
from services.painter.domain.telling import told
from services.painter.errors import invalid
from services.painter.generations import Wanted
from services.painter.http import flag, search_of, whole_number
from services.painter.painter import Painter
from services.painter.routes.files import file_answer
from services.painter.routes.generate import read_nothing
from services.painter.routes.table import Route

LIMIT, LIMIT_MAX = 20, 100


@dataclass(frozen=True)
class GenerationRoutes:
    """Reading and ending; making is a file of its own."""

    painter: Painter

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        every, one = "/api/generations", "/api/generations/{generation_id}"
        return (
            Route("GET", every, self.page),
            Route("GET", one, self.one),
            Route("DELETE", one, self.remove),
            Route("POST", f"{one}/cancel", self.cancel),
            Route("PUT", f"{one}/favourite", self.favour),
            Route("DELETE", f"{one}/favourite", self.unfavour),
            Route("GET", f"{one}/workflow", self.workflow),
            Route("GET", f"{one}/images/{{index}}", self.image),
        )

    async def page(self, request: Request) -> Response:
        """Return generations, newest first: `limit`, `before`, `search`, `favourites`."""
        caller = self.painter.who(request)
        before = request.query_params.get("before")
        if before is not None and not is_canonical_uuid(before):
            raise invalid("before", "before is what `next` of the last answer said.")
        wanted = Wanted(
            limit=whole_number(request, "limit", LIMIT, 1, LIMIT_MAX),
            before=before,
            search=search_of(request),
            favourites=flag(request, "favourites"),
        )
        page = await self.painter.generations.page(caller, wanted)
        places = self.painter.places(request)
        shown = [told(one, places) for one in page.found]
        return JSONResponse({"generations": shown, "next": page.next})

    async def one(self, request: Request) -> Response:
        """Return one generation as it is now."""
        found = await self.painter.generations.one(self.painter.who(request), _id(request))
        return JSONResponse(told(found, self.painter.places(request)))

    async def remove(self, request: Request) -> Response:
        """Take a generation away for good; an open one is cancelled first."""
        await self.painter.generations.remove(self.painter.who(request), _id(request))
        return Response(status_code=204)

    async def cancel(self, request: Request) -> Response:
        """Cancel a generation; one that has ended stays as it is."""
        await read_nothing(request)
        found = await self.painter.generations.cancel(self.painter.who(request), _id(request))
        return JSONResponse(told(found, self.painter.places(request)))

    async def favour(self, request: Request) -> Response:
        """Make a generation a favourite."""
        return await self._favour(request, favourite=True)

    async def unfavour(self, request: Request) -> Response:
        """Make a generation one like all others."""
        return await self._favour(request, favourite=False)

    async def workflow(self, request: Request) -> Response:
        """Return the workflow that was executed, in ComfyUI's API form."""
        caller = self.painter.who(request)
        return JSONResponse(
            {"prompt": await self.painter.generations.workflow(caller, _id(request))}
        )

    async def image(self, request: Request) -> Response:
        """Return an image; `preview=webp;80` makes it small."""
        caller = self.painter.who(request)
        text = request.path_params["index"]
        index = int(text) if text.isascii() and text.isdigit() and len(text) == 1 else -1
        found = await self.painter.generations.one(caller, _id(request))
        file = found.file(index)
        if file is None:
            raise NotFound("This generation has no such image.", field="index")
        return await file_answer(self.painter, request, caller, file)

    async def _favour(self, request: Request, *, favourite: bool) -> Response:
        await read_nothing(request)
        caller = self.painter.who(request)
        found = await self.painter.generations.one(caller, _id(request))
        owner = (await self.painter.knowing.caller(caller)).owner
        await self.painter.keeping.favour(owner, found.prompt_id, favourite=favourite)
        return Response(status_code=204)


def _id(request: Request) -> str:
    return str(request.path_params["generation_id"])
