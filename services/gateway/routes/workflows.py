"""The workflows that a user keeps: a list, each of them, and its versions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.errors import NotFound, Refused
from libs.core.ids import is_canonical_uuid
from libs.core.jsonvalue import Json, JsonObject
from libs.events.envelope import rfc3339
from libs.store.readmodels.workflow_versions import VersionFacts
from services.gateway.domain.documents import workflow_name
from services.gateway.gateway import Gateway
from services.gateway.http import count_of, read_command, whole_number
from services.gateway.openapi import workflows as told
from services.gateway.opening import opened_prompt
from services.gateway.routes.table import Route
from services.gateway.saved import Change, SavedWorkflow

LISTED: Final = 100
LISTED_MAX: Final = 1_000
OFFSET_MAX: Final = 1_000_000
VERSION_MAX: Final = 2**31 - 1
SEARCH_CHARACTERS_MAX: Final = 250
PRIVATE: Final = {"Cache-Control": "private, no-store"}


@dataclass(frozen=True)
class WorkflowRoutes:
    """Workflows of the caller, sealed and reached by nobody else."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file; ComfyUI has none of these, so they lie under /api."""
        one, versions = "/workflows/{id}", "/workflows/{id}/versions"
        version = versions + "/{version}"
        table = (
            ("GET", "/workflows", self.listing, told.WORKFLOWS),
            ("POST", "/workflows", self.create, told.POST_WORKFLOW),
            ("GET", one, self.read, told.WORKFLOW),
            ("PUT", one, self.change, told.PUT_WORKFLOW),
            ("DELETE", one, self.remove, told.DELETE_WORKFLOW),
            ("GET", versions, self.versions, told.VERSIONS),
            ("GET", version, self.version, told.READ_VERSION),
            ("POST", version + "/restore", self.restore, told.RESTORE),
        )
        return tuple(Route(*row, bare=False) for row in table)

    async def listing(self, request: Request) -> Response:
        """List the workflows of the caller: `search`, `limit`, `offset`."""
        who = await self.gateway.who(request)
        search = _search(request)
        limit = _count(request, "limit", LISTED, LISTED_MAX)
        offset = _count(request, "offset", 0, OFFSET_MAX)
        page = await self.gateway.saved.listing(who, search, offset, limit)
        shown: list[Json] = [_facts(item) for item in page.items]
        more = offset + len(shown) < page.total
        pagination: JsonObject = {"offset": offset, "limit": limit, "total": page.total}
        pagination["has_more"] = more
        return JSONResponse({"workflows": shown, "pagination": pagination}, headers=PRIVATE)

    async def create(self, request: Request) -> Response:
        """Keep a workflow."""
        who = await self.gateway.who(request)
        change = _change(await read_command(request))
        if change.name is None:
            raise Refused("name is required", kind="missing_name", field="name")
        if change.workflow is None:
            raise Refused("workflow is required", kind="missing_workflow", field="workflow")
        return _kept(await self.gateway.saved.create(who, change.name, change.workflow), 201)

    async def read(self, request: Request) -> Response:
        """Return a workflow; or, by the id of a prompt, what made its pictures."""
        who = await self.gateway.who(request)
        workflow_id = _id(request)
        try:
            return _whole(await self.gateway.saved.read(who, workflow_id))
        except NotFound as missing:
            try:
                document = await opened_prompt(self.gateway, who, workflow_id)
            except NotFound:
                raise missing from None
        shown: JsonObject = {"id": workflow_id, "prompt_id": workflow_id, "workflow": document}
        return JSONResponse(shown, headers=PRIVATE)

    async def change(self, request: Request) -> Response:
        """Keep a new version of a workflow, with another name, another content, or both."""
        who = await self.gateway.who(request)
        workflow_id, based_on = _id(request), _based_on(request)
        change = _change(await read_command(request))
        if change == Change():
            raise Refused("name or workflow is required", kind="missing_workflow", field="workflow")
        return _kept(await self.gateway.saved.change(who, workflow_id, change, based_on))

    async def remove(self, request: Request) -> Response:
        """Take a workflow away, with all its versions."""
        who = await self.gateway.who(request)
        await self.gateway.saved.remove(who, _id(request), _based_on(request))
        return Response(status_code=204)

    async def versions(self, request: Request) -> Response:
        """List the versions of a workflow, the newest first."""
        who = await self.gateway.who(request)
        found = await self.gateway.saved.versions(who, _id(request))
        return JSONResponse({"versions": [_facts(item) for item in found]}, headers=PRIVATE)

    async def version(self, request: Request) -> Response:
        """Return one version of a workflow."""
        who = await self.gateway.who(request)
        return _whole(await self.gateway.saved.read(who, _id(request), _version(request)))

    async def restore(self, request: Request) -> Response:
        """Make an older version the newest one again; the others stay."""
        who = await self.gateway.who(request)
        version, based_on = _version(request), _based_on(request)
        return _kept(await self.gateway.saved.restore(who, _id(request), version, based_on))


def _id(request: Request) -> str:
    workflow_id = request.path_params["id"]
    if not is_canonical_uuid(workflow_id):
        raise NotFound("There is no such workflow", field="id")
    return str(workflow_id)


def _version(request: Request) -> int:
    version = whole_number(request.path_params["version"])
    if version is None or not 1 <= version <= VERSION_MAX:
        raise NotFound("It has no such version", field="version")
    return version


def _based_on(request: Request) -> int | None:
    """Return the version that `If-Match` names; None for any."""
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return None
    version = whole_number(text.strip().strip('"'))
    if version is None:
        raise Refused(
            'If-Match must be a version such as "3", or *',
            kind="invalid_version",
            field="If-Match",
            received=text[:100],
        )
    return version


def _change(body: JsonObject) -> Change:
    name, workflow = body.get("name"), body.get("workflow")
    if name is not None and not isinstance(name, str):
        raise Refused("name must be a text", kind="invalid_name", field="name")
    if workflow is not None and not isinstance(workflow, dict):
        raise Refused("workflow must be a JSON object", kind="invalid_workflow", field="workflow")
    return Change(None if name is None else workflow_name(name), workflow)


def _search(request: Request) -> str:
    text = request.query_params.get("search", "")
    if len(text) > SEARCH_CHARACTERS_MAX or "\0" in text:
        raise Refused(
            f"search has at most {SEARCH_CHARACTERS_MAX} characters, and no NUL",
            kind="invalid_search",
            field="search",
            limit=SEARCH_CHARACTERS_MAX,
        )
    return text


def _count(request: Request, name: str, default: int, count_max: int) -> int:
    value = count_of(request, name, default, count_max)
    if value < 0:
        raise Refused(f"{name} must not be negative", kind="invalid_number", field=name, limit=0)
    return value


def _facts(item: VersionFacts) -> JsonObject:
    return {
        "id": item.workflow_id,
        "name": item.name,
        "version": item.version,
        "size": item.size_bytes,
        "created": rfc3339(item.created),
        "modified": rfc3339(item.modified),
    }


def _etag(item: VersionFacts) -> dict[str, str]:
    return {**PRIVATE, "ETag": f'"{item.version}"'}


def _kept(item: VersionFacts, status: int = 200) -> Response:
    return JSONResponse(_facts(item), status, headers=_etag(item))


def _whole(saved: SavedWorkflow) -> Response:
    shown: JsonObject = {**_facts(saved.facts), "workflow": saved.workflow}
    return JSONResponse(shown, headers=_etag(saved.facts))
