"""GET /api/jobs: open and finished prompts in one list, as the editor's panels read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.jsonvalue import Json, JsonObject
from services.gateway.archive import Finished
from services.gateway.auth import Principal
from services.gateway.domain.story import Story
from services.gateway.gateway import Gateway
from services.gateway.history import comfy_entry, entries
from services.gateway.http import whole_number
from services.gateway.openapi import operations as told
from services.gateway.routes.prompts import CATCH_UP_SECONDS
from services.gateway.routes.table import Route
from services.gateway.workflows import in_dialect, opened

STATUSES: Final = ("pending", "in_progress", "completed", "failed", "cancelled")
SORTS: Final = ("created_at", "execution_duration")
ORDERS: Final = ("asc", "desc")
FINISHED_MAX: Final = 1_000


class BadQuery(Exception):
    """A query that these routes answer in their own words."""


@dataclass(frozen=True)
class Query:
    """What the list is to hold, and in which order."""

    statuses: frozenset[str]
    sort_by: str
    descending: bool
    limit: int | None
    offset: int


@dataclass(frozen=True)
class JobRoutes:
    """The list and its details; cancelling is a command on prompts."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (
            Route("GET", "/jobs", self.jobs, told.JOBS, bare=False),
            Route("GET", "/jobs/{prompt_id}", self.job, told.JOB, bare=False),
        )

    async def jobs(self, request: Request) -> Response:
        """Return prompts: `status`, `sort_by`, `sort_order`, `limit`, `offset`."""
        who = await self.gateway.who(request)
        try:
            query = _query(request)
        except BadQuery as error:
            return JSONResponse({"error": str(error)}, 400)
        found = [job for job in await self._all(who) if job["status"] in query.statuses]
        found.sort(key=_duration if query.sort_by == "execution_duration" else _created)
        if query.descending:
            found.reverse()
        end = len(found) if query.limit is None else query.offset + query.limit
        page: list[Json] = list(found[query.offset : end])
        pagination: JsonObject = {
            "offset": query.offset,
            "limit": query.limit,
            "total": len(found),
            "has_more": end < len(found),
        }
        return JSONResponse({"jobs": page, "pagination": pagination})

    async def job(self, request: Request) -> Response:
        """Return one prompt with its workflow and outputs."""
        who = await self.gateway.who(request)
        prompt_id = request.path_params["prompt_id"]
        story = self.gateway.live.queue.get(who.tenant, prompt_id)
        if story is not None and story.owner == who.owner and story.queued is not None:
            return JSONResponse(await self._open_job(who, story))
        if "\0" not in prompt_id:
            found = await self.gateway.archive.history(who.owner, max_items=1, prompt_id=prompt_id)
            if found:
                return JSONResponse(await self._finished_job(who, found[0]))
        return JSONResponse({"error": "Job not found"}, 404)

    async def _all(self, who: Principal) -> list[JsonObject]:
        live = self.gateway.live
        await live.caught_up(CATCH_UP_SECONDS)
        finished = await self.gateway.archive.history(who.owner, max_items=FINISHED_MAX)
        stories = [*live.queue.running(who.owner), *live.queue.pending(who.owner)]
        is_open = {story.prompt_id for story in stories}
        over = [job_of_finished(one) for one in finished if one.row.prompt_id not in is_open]
        return [*over, *(job_of_story(story) for story in stories)]

    async def _open_job(self, who: Principal, story: Story) -> JsonObject:
        vault, catalogue = self.gateway.vault, await self.gateway.catalogues.of(who.owner)
        workflow = (await opened(vault, who.tenant, [story.submitted.workflow]))[0]
        prompt = in_dialect(workflow.prompt, "comfyui", catalogue)
        shown: JsonObject = {"prompt": prompt, "extra_data": workflow.extra_data}
        return {**job_of_story(story), "workflow": shown}

    async def _finished_job(self, who: Principal, finished: Finished) -> JsonObject:
        entry = (await entries(self.gateway.vault, who.tenant, [finished]))[0]
        shown = comfy_entry(entry, await self.gateway.catalogues.of(who.owner))
        _, _, prompt, extra_data, _ = cast("list[Json]", shown["prompt"])
        return {
            **job_of_finished(finished),
            "outputs": shown["outputs"],
            "execution_status": shown["status"],
            "workflow": {"prompt": prompt, "extra_data": extra_data},
        }


def job_of_story(story: Story) -> JsonObject:
    """Return an open prompt as an entry of the list."""
    job: JsonObject = {
        "id": story.prompt_id,
        "status": "in_progress" if story.running else "pending",
        "priority": story.number,
        "create_time": _ms(story.submitted_at),
        "outputs_count": 0,
        "previewable_outputs_count": 0,
    }
    if story.leased_at is not None:
        job["execution_start_time"] = _ms(story.leased_at)
    return job


def job_of_finished(finished: Finished) -> JsonObject:
    """Return a finished prompt as an entry of the list."""
    row = finished.row
    stopped = row.outcome == "cancelled"
    job: JsonObject = {
        "id": row.prompt_id,
        "status": "completed" if row.completed else "cancelled" if stopped else "failed",
        "priority": row.number or 0,
        "create_time": _ms(row.submitted_at),
        "outputs_count": len(finished.outputs),
        "previewable_outputs_count": len(finished.outputs),
    }
    for name, moment in (
        ("execution_start_time", row.started_at),
        ("execution_end_time", row.ended_at),
    ):
        if moment is not None:
            job[name] = _ms(moment)
    if finished.outputs:
        first = finished.outputs[-1]
        job["preview_output"] = {
            "filename": first.filename,
            "subfolder": first.subfolder,
            "type": first.folder,
            "nodeId": first.node_id,
            "mediaType": "images",
        }
    return job


def _query(request: Request) -> Query:
    asked = request.query_params
    wanted = [name.strip() for name in asked.get("status", "").split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in STATUSES]:
        raise BadQuery(f"unknown status {unknown[0][:50]!r}; known are {', '.join(STATUSES)}")
    sort_by, order = asked.get("sort_by", "created_at"), asked.get("sort_order", "desc")
    if sort_by not in SORTS or order not in ORDERS:
        raise BadQuery(f"sort_by is one of {SORTS}, sort_order one of {ORDERS}")
    limit = _whole(asked.get("limit"), "limit", least=1)
    offset = _whole(asked.get("offset"), "offset", least=0) or 0
    return Query(frozenset(wanted or STATUSES), sort_by, order == "desc", limit, offset)


def _whole(text: str | None, name: str, *, least: int) -> int | None:
    if text is None:
        return None
    value = whole_number(text)
    if value is None or value < least:
        raise BadQuery(f"{name} must be a whole number of at least {least}")
    return value


def _created(job: JsonObject) -> tuple[int, int]:
    return (cast("int", job["create_time"]), int(cast("float", job["priority"])))


def _duration(job: JsonObject) -> int:
    began = cast("int", job.get("execution_start_time", 0))
    return cast("int", job.get("execution_end_time", began)) - began


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
