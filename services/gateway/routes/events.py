"""GET /api/jobs/{id}/events: one prompt as server-sent events, to its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from libs.core.errors import StudioError, Unavailable
from libs.core.jsonvalue import JsonObject
from services.gateway.archive import Finished
from services.gateway.auth import Principal
from services.gateway.domain.frames import Frame
from services.gateway.domain.story import Story
from services.gateway.gateway import Gateway
from services.gateway.hub import Listener
from services.gateway.joblist import job_of_story
from services.gateway.openapi import operations as told
from services.gateway.resuming import since_of
from services.gateway.routes.jobs import job_of_finished
from services.gateway.routes.prompts import CATCH_UP_SECONDS
from services.gateway.routes.table import Route

HEARTBEAT_SECONDS: Final = 15.0
MEDIA: Final = "text/event-stream"
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
RETRY: Final = "retry: 2000\n\n"
ALIVE: Final = ": alive\n\n"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class EventRoutes:
    """The frames of a WebSocket, for whoever follows one prompt only."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        path = "/jobs/{prompt_id}/events"
        return (Route("GET", path, self.events, told.JOB_EVENTS, bare=False),)

    async def events(self, request: Request) -> Response:
        """Follow one prompt to its end, as server-sent events; `Last-Event-ID` goes on."""
        who = await self.gateway.who(request)
        prompt_id = request.path_params["prompt_id"]
        asked = request.headers.get("last-event-id") or request.query_params.get("lastEventId")
        after = since_of(asked) or 0
        await self.gateway.live.caught_up(CATCH_UP_SECONDS)
        if self._open(who, prompt_id) is not None:
            self._check_room()
            body = self._follow(who, prompt_id, after)
        else:
            finished = await self._finished(who, prompt_id)
            if finished is None:
                return JSONResponse({"error": "Job not found"}, 404)
            frames = await self._of_archive(who, prompt_id, after)
            if after and not frames:
                # The word for a browser that would otherwise connect again for ever.
                return Response(status_code=204)
            body = _all(job_of_finished(finished), frames)
        if request.method == "HEAD":
            await body.aclose()
            return Response(media_type=MEDIA, headers=HEADERS)
        return StreamingResponse(body, media_type=MEDIA, headers=HEADERS)

    def _open(self, who: Principal, prompt_id: str) -> Story | None:
        story = self.gateway.live.queue.get(who.tenant, prompt_id)
        mine = story is not None and story.owner == who.owner and story.queued is not None
        return story if mine else None

    async def _finished(self, who: Principal, prompt_id: str) -> Finished | None:
        if "\0" in prompt_id:
            return None
        archive = self.gateway.archive
        found = await archive.history(who.owner, max_items=1, prompt_id=prompt_id)
        return found[0] if found else None

    def _check_room(self) -> None:
        hub = self.gateway.hub
        if len(hub) >= hub.sockets_max:
            raise Unavailable("too many open sockets", limit=hub.sockets_max)

    async def _of_archive(self, who: Principal, prompt_id: str, after: int) -> list[Frame]:
        resuming = self.gateway.resuming
        return [
            frame
            for story, moments in await resuming.of_archive(who.tenant, [prompt_id])
            for frame in await resuming.frames(story, moments, after)
        ]

    async def _follow(
        self, who: Principal, prompt_id: str, after: int
    ) -> AsyncGenerator[str, None]:
        """Tell what was, then what comes, to the end."""
        story = self._open(who, prompt_id)
        if story is None:
            # It ended since it was looked up; whoever connects again finds it in the archive.
            yield RETRY
            return
        hub, key = self.gateway.hub, (who.tenant, prompt_id)
        try:
            listener = hub.listen(key)
        except Unavailable:
            # The last place was taken since it was looked for, and the answer has begun.
            yield RETRY
            return
        try:
            async for text in self._told(story, listener, after):
                yield text
        except StudioError as error:
            log.warning("events_cut_off", prompt_id=prompt_id, error=error.message)
        finally:
            hub.quit(key, listener)

    async def _told(
        self, story: Story, listener: Listener, after: int
    ) -> AsyncGenerator[str, None]:
        telling = self.gateway.live.telling
        # Nothing is waited for between the beginning of listening and these three.
        reached = telling.reached(story.owner, story.submitted.client_id, story.prompt_id)
        moments, now = telling.moments(story), telling.catch_up(story)
        yield RETRY + _job(job_of_story(story))
        missed = await self.gateway.resuming.frames(story, moments, after, reached)
        for frame in (*missed, *now):
            yield _event(frame)
        heard = max(after, reached)
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    heard_now = await listener.next()
            except TimeoutError:
                yield ALIVE
                continue
            if heard_now is None:
                return
            if not heard_now.seq or heard_now.seq > heard:
                yield _event(heard_now)
            if _is_end(heard_now):
                return


async def _all(job: JsonObject, frames: Iterable[Frame]) -> AsyncGenerator[str, None]:
    yield RETRY + _job(job)
    for frame in frames:
        yield _event(frame)


def _job(job: JsonObject) -> str:
    return f"event: job\ndata: {json.dumps(job, separators=(',', ':'))}\n\n"


def _event(frame: Frame) -> str:
    """Return a frame as an event; what may be lost has no id, so that nobody goes on from it."""
    place = f"id: {frame.seq}\n" if frame.seq else ""
    return f"{place}event: {frame.type}\ndata: {json.dumps(frame.data, separators=(',', ':'))}\n\n"


def _is_end(frame: Frame) -> bool:
    return frame.type == "executing" and frame.data.get("node") is None
