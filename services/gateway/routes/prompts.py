"""POST and GET /prompt, and the commands on prompts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.errors import Refused
from libs.core.ids import is_canonical_uuid
from libs.core.jsonvalue import JsonObject
from services.gateway.domain.submission import flag, idempotency_key, read_submission
from services.gateway.gateway import Gateway
from services.gateway.http import (
    parse_json,
    read_body,
    read_command,
    require_json_label,
    speaks_hip35,
    text_ids,
)
from services.gateway.openapi import operations as told
from services.gateway.routes.table import Route

CATCH_UP_SECONDS = 10.0
BATCH_IDS_MAX = 1_000


@dataclass(frozen=True)
class PromptRoutes:
    """Handing prompts in, and stopping them."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (
            Route("POST", "/prompt", self.post_prompt, told.POST_PROMPT),
            Route("GET", "/prompt", self.get_prompt, told.GET_PROMPT),
            Route("POST", "/interrupt", self.interrupt, told.INTERRUPT),
            Route("POST", "/queue", self.post_queue, told.POST_LIST),
            Route("POST", "/history", self.post_history, told.POST_LIST),
            Route("POST", "/jobs/cancel", self.cancel_jobs, told.CANCEL_JOBS, bare=False),
            Route("POST", "/jobs/{prompt_id}/cancel", self.cancel_job, told.CANCEL_JOB, bare=False),
        )

    async def post_prompt(self, request: Request) -> Response:
        """Hand in a workflow; answers when it is queued or refused."""
        who = await self.gateway.who(request)
        if speaks_hip35(request):
            require_json_label(request)
        key = idempotency_key(request.headers.get("idempotency-key", ""))
        body = await read_body(request, self.gateway.settings.workflow_bytes_max, "workflow")
        submission = read_submission(
            parse_json(body), request.headers.get("comfy-usage-source", "")
        )
        return JSONResponse(await self.gateway.admission.submit(who, submission, key))

    async def get_prompt(self, request: Request) -> Response:
        """Return how many of the caller's prompts are open."""
        who = await self.gateway.who(request)
        await self.gateway.live.caught_up(CATCH_UP_SECONDS)
        remaining = self.gateway.live.queue.remaining(who.owner)
        return JSONResponse({"exec_info": {"queue_remaining": remaining}})

    async def interrupt(self, request: Request) -> Response:
        """Stop the running prompt with that id, or all running prompts of the caller."""
        who = await self.gateway.who(request)
        command = await read_command(request)
        prompt_id = command.get("prompt_id")
        if prompt_id is not None and not isinstance(prompt_id, str):
            raise Refused("prompt_id must be a text", kind="invalid_prompt_id", field="prompt_id")
        await self.gateway.commands.interrupt(who, prompt_id or "")
        return Response(status_code=200)

    async def post_queue(self, request: Request) -> Response:
        """Take prompts out of the line: `{"clear": true}` or `{"delete": [ids]}`."""
        who = await self.gateway.who(request)
        command = await read_command(request)
        await self.gateway.commands.cancel_pending(
            who,
            text_ids(command.get("delete"), "delete"),
            every=flag(command.get("clear"), "clear"),
        )
        return Response(status_code=200)

    async def post_history(self, request: Request) -> Response:
        """Take prompts off the history: `{"clear": true}` or `{"delete": [ids]}`."""
        who = await self.gateway.who(request)
        command = await read_command(request)
        await self.gateway.commands.remove(
            who,
            text_ids(command.get("delete"), "delete"),
            every=flag(command.get("clear"), "clear"),
        )
        return Response(status_code=200)

    async def cancel_job(self, request: Request) -> Response:
        """Cancel one prompt wherever it is; an unknown one answers false."""
        who = await self.gateway.who(request)
        cancelled = await self.gateway.commands.cancel(who, request.path_params["prompt_id"])
        return JSONResponse({"cancelled": cancelled})

    async def cancel_jobs(self, request: Request) -> Response:
        """Cancel several prompts: `{"job_ids": [ids]}`."""
        who = await self.gateway.who(request)
        command = await read_command(request)
        ids = text_ids(command.get("job_ids"), "job_ids", BATCH_IDS_MAX)
        bad = [prompt_id for prompt_id in ids if not is_canonical_uuid(prompt_id)]
        if bad:
            answer: JsonObject = {"error": "Some ids are no UUIDs", "invalid_ids": list(bad)}
            return JSONResponse(answer, 400)
        stopped = [await self.gateway.commands.cancel(who, prompt_id) for prompt_id in ids]
        return JSONResponse({"cancelled": any(stopped)})
