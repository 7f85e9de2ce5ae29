"""GET /api/generations/{id}/events: what happens to one generation, as it happens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from libs.core.errors import StudioError, Unavailable
from libs.core.jsonvalue import JsonObject
from services.painter import metrics
from services.painter.caller import Caller
from services.painter.domain.telling import Places, Seen, told
from services.painter.painter import Painter
from services.painter.routes.table import Route

BEAT: Final = ": beat\n\n"
RETRY: Final = "retry: 1000\n\n"
BEAT_EVERY: Final = 5
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass
class EventRoutes:
    """Open streams; there is a bound of them."""

    painter: Painter
    open: int = 0

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (Route("GET", "/api/generations/{generation_id}/events", self.events),)

    async def events(self, request: Request) -> Response:
        """Tell the state at once, then every change, step and preview, up to the end."""
        caller = self.painter.who(request)
        if self.open >= self.painter.settings.streams_max:
            raise Unavailable("too many open streams", limit=self.painter.settings.streams_max)
        one = await self.painter.generations.one(caller, request.path_params["generation_id"])
        if request.method == "HEAD":
            return Response(media_type="text/event-stream", headers=HEADERS)
        stream = self._counted(self._stream(caller, one, self.painter.places(request)))
        return StreamingResponse(stream, media_type="text/event-stream", headers=HEADERS)

    async def _counted(self, stream: AsyncIterator[str]) -> AsyncIterator[str]:
        self.open += 1
        metrics.STREAMS.inc()
        try:
            async for text in stream:
                yield text
        finally:
            self.open -= 1
            metrics.STREAMS.dec()

    async def _stream(self, caller: Caller, first: Seen, places: Places) -> AsyncIterator[str]:
        yield RETRY
        said: Seen | None = None
        silent = 0
        try:
            async for one, news, progress in self.painter.generations.follow(caller, first):
                if news is not None and news.progress is not None:
                    yield _event("progress", news.progress)
                elif news is not None and news.preview:
                    yield _event("preview", {"image": news.preview})
                elif one != said:
                    said, silent = one, 0
                    yield _event("generation", told(one, places, progress.told))
                else:
                    silent += 1
                    if silent % BEAT_EVERY == 0:
                        yield BEAT
        except StudioError:
            # The stream ends without its last event, so the client comes back and asks again.
            return
        yield _event("end", {})


def _event(name: str, data: JsonObject) -> str:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
