"""GET /queue and /history, in the dialect that the caller speaks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.jsonvalue import JsonObject
from services.gateway.auth import Principal
from services.gateway.gateway import Gateway
from services.gateway.history import comfy_entry, entries, hip_entry
from services.gateway.http import count_of, speaks_hip35
from services.gateway.lines import comfy_queue, hip_queue, line_of
from services.gateway.openapi import operations as told
from services.gateway.routes.prompts import CATCH_UP_SECONDS
from services.gateway.routes.table import Route

HIP_ITEMS = 200
OFFSET_MAX = 2**31


@dataclass(frozen=True)
class ReadingRoutes:
    """The queue and the history of the caller."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (
            Route("GET", "/queue", self.get_queue, told.GET_QUEUE),
            Route("GET", "/history", self.get_history, told.GET_HISTORY),
            Route("GET", "/history/{prompt_id}", self.get_history_of_one, told.GET_HISTORY_OF_ONE),
        )

    async def get_queue(self, request: Request) -> Response:
        """Return the caller's running and waiting prompts."""
        who = await self.gateway.who(request)
        live = self.gateway.live
        await live.caught_up(CATCH_UP_SECONDS)
        catalogue = await self.gateway.catalogues.of(who.owner)
        hip35 = speaks_hip35(request)
        line = await line_of(self.gateway.vault, live.queue, who.owner, pending_workflows=not hip35)
        return JSONResponse((hip_queue if hip35 else comfy_queue)(line, catalogue))

    async def get_history(self, request: Request) -> Response:
        """Return finished prompts, oldest first: `max_items`, `offset`, `prompt_id`, `before`."""
        who = await self.gateway.who(request)
        items_max = self.gateway.settings.history_items_max
        default = HIP_ITEMS if speaks_hip35(request) else items_max
        max_items = count_of(request, "max_items", default, items_max)
        if max_items < 0:
            max_items = default
        offset = max(0, count_of(request, "offset", 0, OFFSET_MAX))
        prompt_id = request.query_params.get("prompt_id") or None
        before = request.query_params.get("before") or None
        return await self._history(request, who, max_items, offset, prompt_id, before)

    async def get_history_of_one(self, request: Request) -> Response:
        """Return one finished prompt; unknown and unfinished ones are an empty object."""
        who = await self.gateway.who(request)
        return await self._history(request, who, 1, 0, request.path_params["prompt_id"])

    async def _history(
        self,
        request: Request,
        who: Principal,
        max_items: int,
        offset: int,
        prompt_id: str | None,
        before: str | None = None,
    ) -> Response:
        if "\0" in (prompt_id or "") or "\0" in (before or ""):
            return JSONResponse({})
        found = await self.gateway.archive.history(
            who.owner, max_items=max_items, offset=offset, prompt_id=prompt_id, before=before
        )
        catalogue = await self.gateway.catalogues.of(who.owner)
        shape = hip_entry if speaks_hip35(request) else comfy_entry
        opened = await entries(self.gateway.vault, who.tenant, found)
        answer: JsonObject = {entry.row.prompt_id: shape(entry, catalogue) for entry in opened}
        return JSONResponse(answer)
