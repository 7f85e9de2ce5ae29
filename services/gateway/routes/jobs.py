"""GET /api/jobs: open and finished prompts in one list, as the editor's panels read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.ids import is_canonical_uuid
from libs.core.jsonvalue import Json, JsonObject
from libs.store.readmodels.jobs import JobRow, SortBy
from services.gateway.archive import Finished
from services.gateway.auth import Principal
from services.gateway.domain.story import Story
from services.gateway.gateway import Gateway
from services.gateway.history import comfy_entry, entries, errors_of
from services.gateway.http import whole_number
from services.gateway.joblist import STATUSES, Query, job_of_row, job_of_story, listed
from services.gateway.openapi import operations as told
from services.gateway.routes.prompts import CATCH_UP_SECONDS
from services.gateway.routes.table import Route
from services.gateway.workflows import extra_of, in_dialect, opened

SORTS: Final[tuple[SortBy, ...]] = ("created_at", "execution_duration")
ORDERS: Final = ("asc", "desc")


class BadQuery(Exception):
    """A query that these routes answer in their own words."""


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
        """Return prompts: `status`, `workflow_id`, `sort_by`, `sort_order`, `limit`, `offset`."""
        who = await self.gateway.who(request)
        try:
            query = _query(request)
        except BadQuery as error:
            return JSONResponse({"error": str(error)}, 400)
        live = self.gateway.live
        await live.caught_up(CATCH_UP_SECONDS)
        running, pending = live.queue.running(who.owner), live.queue.pending(who.owner)
        found = await listed(self.gateway.archive, running, pending, who.owner, query)
        await self._explain(who, found.jobs)
        end = query.offset + len(found.jobs)
        pagination: JsonObject = {
            "offset": query.offset,
            "limit": query.limit,
            "total": found.total,
            "has_more": end < found.total,
        }
        return JSONResponse({"jobs": [*found.jobs], "pagination": pagination})

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

    async def _explain(self, who: Principal, jobs: Sequence[JsonObject]) -> None:
        """Say of each prompt that failed what its clients were told."""
        failed = {str(job["id"]): job for job in jobs if job["status"] == "failed"}
        if not failed:
            return
        rows = await self.gateway.archive.prompts(who.owner, list(failed))
        for prompt_id, error in (await errors_of(self.gateway.vault, who.tenant, rows)).items():
            failed[prompt_id]["execution_error"] = error

    async def _open_job(self, who: Principal, story: Story) -> JsonObject:
        vault, catalogue = self.gateway.vault, await self.gateway.catalogues.of(who.owner)
        workflow = (await opened(vault, who.tenant, [story.submitted.workflow]))[0]
        prompt = in_dialect(workflow.prompt, "comfyui", catalogue)
        extra_data = extra_of(workflow, story.submitted.client_id)
        shown: JsonObject = {"prompt": prompt, "extra_data": extra_data}
        return {**job_of_story(story), "workflow": shown}

    async def _finished_job(self, who: Principal, finished: Finished) -> JsonObject:
        entry = (await entries(self.gateway.vault, who.tenant, [finished]))[0]
        shown = comfy_entry(entry, await self.gateway.catalogues.of(who.owner))
        _, _, prompt, extra_data, _ = cast("list[Json]", shown["prompt"])
        job = job_of_finished(finished)
        await self._explain(who, [job])
        return {
            **job,
            "outputs": shown["outputs"],
            "execution_status": shown["status"],
            "workflow": {"prompt": prompt, "extra_data": extra_data},
        }


def job_of_finished(finished: Finished) -> JsonObject:
    """Return a finished prompt as an entry of the list."""
    row = finished.row
    job = JobRow(
        row.prompt_id,
        row.outcome or "failed",
        row.submitted_at,
        row.number,
        row.started_at,
        row.ended_at,
        row.workflow_id,
    )
    return job_of_row(job, finished.outputs)


def _query(request: Request) -> Query:
    asked = request.query_params
    wanted = [name.strip() for name in asked.get("status", "").split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in STATUSES]:
        raise BadQuery(f"unknown status {unknown[0][:50]!r}; known are {', '.join(STATUSES)}")
    named, order = asked.get("sort_by", "created_at"), asked.get("sort_order", "desc")
    sort_by = next((name for name in SORTS if name == named), None)
    if sort_by is None or order not in ORDERS:
        raise BadQuery(f"sort_by is one of {SORTS}, sort_order one of {ORDERS}")
    limit = _whole(asked.get("limit"), "limit", least=1)
    offset = _whole(asked.get("offset"), "offset", least=0) or 0
    workflow_id = asked.get("workflow_id", "")
    if workflow_id and not is_canonical_uuid(workflow_id):
        raise BadQuery("workflow_id must be a UUID in lowercase")
    statuses = frozenset(wanted or STATUSES)
    return Query(statuses, sort_by, order == "desc", limit, offset, workflow_id)


def _whole(text: str | None, name: str, *, least: int) -> int | None:
    if text is None:
        return None
    value = whole_number(text)
    if value is None or value < least:
        raise BadQuery(f"{name} must be a whole number of at least {least}")
    return value
