"""/api/v2/jobs: prompts as the official SDK hands them in and follows them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from libs.core.errors import NotFound, Refused, StudioError
from libs.core.jsonvalue import Json, JsonObject
from libs.graph.literals import flaw
from services.gateway.auth import Principal
from services.gateway.domain.jobs import referenced, resolved
from services.gateway.domain.story import Owner
from services.gateway.domain.submission import idempotency_key, read_submission
from services.gateway.gateway import Gateway
from services.gateway.http import parse_json, read_body, whole_number
from services.gateway.jobs import is_over
from services.gateway.openapi import v2 as told
from services.gateway.routes.events import HEADERS, MEDIA
from services.gateway.routes.prompts import CATCH_UP_SECONDS
from services.gateway.routes.table import Route
from services.gateway.routes.v2_assets import base_url
from services.gateway.routes.v2_errors import enveloped
from services.gateway.workflows import in_dialect

PAGE_JOBS: Final = 50
PAGE_JOBS_MAX: Final = 500
LOOK_SECONDS: Final = 0.5
KEEP_ALIVE_SECONDS: Final = 15.0
STREAMS_MAX: Final = 20
REFERENCES_MAX: Final = 100
CLOSED: Final = frozenset({"api_key_comfy_org"})


@dataclass(frozen=True)
class V2JobRoutes:
    """Handing workflows in, and looking at what became of them."""

    gateway: Gateway
    _streams: Counter[Owner] = field(default_factory=Counter)

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        one = "/v2/jobs/{id}"
        return (
            Route("POST", "/v2/jobs", self.submit, told.SUBMIT, bare=False),
            Route("GET", "/v2/jobs", self.jobs, told.JOBS, bare=False),
            Route("GET", one, self.job, told.JOB, bare=False),
            Route("GET", f"{one}/workflow", self.workflow, told.WORKFLOW, bare=False),
            Route("GET", f"{one}/logs", self.logs, told.LOGS, bare=False),
            Route("GET", f"{one}/events", self.events, told.EVENTS, bare=False),
            Route("POST", f"{one}/cancel", self.cancel, told.CANCEL, bare=False),
        )

    @enveloped
    async def submit(self, request: Request) -> Response:
        """Hand in a workflow; answers when it is queued or refused."""
        who = await self.gateway.who(request)
        key = idempotency_key(request.headers.get("idempotency-key", ""))
        body = parse_json(
            await read_body(request, self.gateway.settings.workflow_bytes_max, "workflow")
        )
        workflow, extra_data = _read(body)
        prompt = await self._with_files(who, workflow)
        submission = read_submission({"prompt": prompt, "extra_data": extra_data})
        if key:
            await self.gateway.live.caught_up(CATCH_UP_SECONDS)
            job_id = await self.gateway.jobs.id_under(who, key)
            submission = replace(submission, prompt_id=job_id)
        accepted = await self.gateway.admission.submit(who, submission, "")
        return JSONResponse(await self._job(request, who, str(accepted["prompt_id"])), 201)

    @enveloped
    async def jobs(self, request: Request) -> Response:
        """Return jobs, the newest first: `limit`, and `cursor` to go on."""
        who = await self.gateway.who(request)
        asked = request.query_params
        if any(name.startswith("metadata") for name in asked):
            raise _no_labels()
        limit = whole_number(asked.get("limit", str(PAGE_JOBS)))
        if limit is None or not 1 <= limit <= PAGE_JOBS_MAX:
            raise Refused(f"limit is between 1 and {PAGE_JOBS_MAX}", kind="invalid", field="limit")
        await self.gateway.live.caught_up(CATCH_UP_SECONDS)
        page, after = await self.gateway.jobs.page(who, limit, asked.get("cursor", ""))
        answer: JsonObject = {"jobs": list[Json](page)}
        return JSONResponse({**answer, "next_cursor": after} if after else answer)

    @enveloped
    async def job(self, request: Request) -> Response:
        """Return a job as it is now, with every output that is released."""
        who = await self.gateway.who(request)
        return JSONResponse(await self._job(request, who, request.path_params["id"]))

    @enveloped
    async def workflow(self, request: Request) -> Response:
        """Return the graph that a job executed."""
        who = await self.gateway.who(request)
        found = await self.gateway.jobs.workflow(who, request.path_params["id"])
        catalogue = await self.gateway.catalogues.of(who.owner)
        return JSONResponse({"workflow": in_dialect(found, "comfyui", catalogue), "format": "api"})

    @enveloped
    async def logs(self, request: Request) -> Response:
        """Say that no job has a log: workers keep their logs to themselves."""
        who = await self.gateway.who(request)
        await self._job(request, who, request.path_params["id"])
        return Response(status_code=204)

    @enveloped
    async def cancel(self, request: Request) -> Response:
        """Ask for a job's end; one that is over stays as it is."""
        who = await self.gateway.who(request)
        job_id = request.path_params["id"]
        await self._job(request, who, job_id)
        await self.gateway.commands.cancel(who, job_id)
        await self.gateway.live.gone([(who.tenant, job_id)], self.gateway.settings.settle_seconds)
        return JSONResponse(await self._job(request, who, job_id))

    @enveloped
    async def events(self, request: Request) -> Response:
        """Tell of a job as it changes, in server-sent events, until it is over."""
        who = await self.gateway.who(request)
        job = await self._job(request, who, request.path_params["id"])
        if request.method == "HEAD":
            return Response(media_type=MEDIA, headers=HEADERS)
        if self._streams[who.owner] >= STREAMS_MAX:
            raise Refused(
                "Too many streams are open",
                kind="too_many_streams",
                status=429,
                limit=STREAMS_MAX,
                retry_after_seconds=1,
            )
        told_of = self._follow(request, who, job)
        return StreamingResponse(told_of, media_type=MEDIA, headers=HEADERS)

    async def _follow(
        self, request: Request, who: Principal, job: JsonObject
    ) -> AsyncIterator[str]:
        self._streams[who.owner] += 1
        try:
            before: JsonObject = {"outputs": []}
            quiet = 0.0
            while True:
                for name, data in _changes(before, job):
                    yield f"event: {name}\ndata: {json.dumps(data)}\n\n"
                    quiet = 0.0
                if is_over(job):
                    return
                await asyncio.sleep(LOOK_SECONDS)
                quiet += LOOK_SECONDS
                if quiet >= KEEP_ALIVE_SECONDS:
                    yield ": here\n\n"
                    quiet = 0.0
                before, job = job, await self._job(request, who, str(job["id"]))
        except StudioError:
            # The stream just ends; whoever follows asks for the job itself then.
            return
        finally:
            self._streams[who.owner] -= 1

    async def _job(self, request: Request, who: Principal, job_id: str) -> JsonObject:
        await self.gateway.live.caught_up(CATCH_UP_SECONDS)
        return await self.gateway.jobs.job(who, job_id, base_url(request))

    async def _with_files(self, who: Principal, workflow: JsonObject) -> Json:
        """Put the names of files where a workflow refers to assets."""
        ids = referenced(workflow)
        if len(ids) > REFERENCES_MAX:
            raise Refused(
                f"A workflow may refer to {REFERENCES_MAX} assets", kind="missing_asset", status=422
            )
        names = {}
        for asset_id in ids:
            try:
                names[asset_id] = (await self.gateway.assets.find(who, asset_id)).in_graphs
            except NotFound as error:
                raise Refused(
                    f"There is no asset {asset_id[:100]!r}", kind="missing_asset", status=422
                ) from error
        return resolved(workflow, names)


def _read(body: Json) -> tuple[JsonObject, JsonObject]:
    workflow = body.get("workflow") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(workflow, dict):
        raise Refused("workflow must be an object", kind="invalid_workflow", field="workflow")
    if isinstance(workflow.get("nodes"), list):
        raise Refused(
            "This is the editor's own format; export it in API format",
            kind="workflow_format_ui",
            status=422,
            field="workflow",
        )
    # References are looked for in all of it before any graph is read, however deep it is.
    if found := flaw(workflow):
        raise Refused(f"workflow {found}", kind="invalid_workflow", field="workflow")
    if body.get("metadata"):
        raise _no_labels()
    if reserved := [name for name in ("webhook_url", "inputs") if name in body]:
        raise Refused(f"{reserved[0]} is not supported", kind="invalid_request", field=reserved[0])
    extra_data = body.get("extra_data")
    if extra_data is None:
        return workflow, {}
    if not isinstance(extra_data, dict) or not CLOSED.issuperset(extra_data):
        raise Refused("extra_data holds an unknown key", kind="invalid_request", field="extra_data")
    if not all(isinstance(value, str) for value in extra_data.values()):
        raise Refused("extra_data holds texts only", kind="invalid_request", field="extra_data")
    return workflow, extra_data


def _changes(before: JsonObject, job: JsonObject) -> list[tuple[str, JsonObject]]:
    """Return what is new in a job, as events: outputs before the state, so that an end is last."""
    told_of: list[tuple[str, JsonObject]] = []
    progress, outputs = job["progress"], job["outputs"]
    if isinstance(progress, dict) and progress != before.get("progress"):
        told_of.append(("progress", progress))
    known = before["outputs"]
    if isinstance(outputs, list) and isinstance(known, list):
        new = [one for one in outputs if one not in known]
        told_of.extend(("output", one) for one in new if isinstance(one, dict))
    state: JsonObject = {name: job[name] for name in ("status", "queue_position")}
    if state != {name: before.get(name) for name in state}:
        told_of.append(("status", state)) if is_over(job) else told_of.insert(0, ("status", state))
    return told_of


def _no_labels() -> Refused:
    return Refused(
        "Jobs have no labels here", kind="metadata_not_supported", status=422, field="metadata"
    )
