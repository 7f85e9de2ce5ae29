"""Prompts as jobs of Comfy API v2, from the live queue and the archive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from libs.bus.identity import prompt_id_of
from libs.core.errors import NotFound, Refused
from libs.core.ids import is_canonical_uuid
from libs.core.jsonvalue import Json, JsonObject
from libs.events.envelope import rfc3339
from libs.sealed.base import Vault
from libs.store.readmodels.outputs import OutputRow
from libs.store.readmodels.prompts import PromptRow
from services.gateway.answers import Declined
from services.gateway.archive import Archive
from services.gateway.auth import Principal
from services.gateway.domain.jobs import (
    OVER,
    STATUS_OF,
    OutputId,
    all_done,
    progress_of,
    status_of,
    type_of,
)
from services.gateway.domain.story import Story
from services.gateway.history import Entry, exception_message
from services.gateway.live import Live
from services.gateway.workflows import Workflow, opened, opened_object

# Nothing of ours expires by itself, but the contract wants a time.
KEPT: Final = timedelta(days=36_500)
KEY_USES_MAX: Final = 20
LISTED_MAX: Final = 1_000
PREFIX: Final = "/api/v2"
# Links need the caller's key and hold as long as the file; the contract wants a time here too.
LINKS_HOLD: Final = "2126-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Jobs:
    """Every dependency is a field; a caller only sees jobs of its own."""

    live: Live
    archive: Archive
    vault: Vault

    async def job(self, who: Principal, job_id: str, base_url: str) -> JsonObject:
        """Return a job as it is now; NotFound when the caller has none of that id."""
        story = self._open(who, job_id)
        rows = await self.archive.outputs_of(who.owner, job_id) if _known(job_id) else []
        outputs = outputs_of(rows, base_url)
        if story is not None:
            return self._of_story(story, outputs)
        row = await self._row(who, job_id)
        return await self._of_row(who, row, outputs)

    async def page(self, who: Principal, limit: int, after: str) -> tuple[list[JsonObject], str]:
        """Return jobs, the newest first, and the id to go on after, if there are more."""
        live = self.live.queue
        stories = [*live.running(who.owner), *live.pending(who.owner)]
        found = {
            story.prompt_id: _listed(story.prompt_id, status_of(story), story.submitted_at)
            for story in stories
        }
        for finished in await self.archive.history(who.owner, max_items=LISTED_MAX):
            row = finished.row
            status = STATUS_OF.get(row.outcome or "", "failed")
            over = _listed(row.prompt_id, status, row.submitted_at, row.ended_at)
            found.setdefault(row.prompt_id, over)
        newest = sorted(found.values(), key=lambda job: str(job["create_time"]), reverse=True)
        ids = [job["id"] for job in newest]
        first = ids.index(after) + 1 if after in ids else 0
        page = newest[first : first + limit]
        more = first + limit < len(newest)
        return page, str(page[-1]["id"]) if page and more else ""

    async def workflow(self, who: Principal, job_id: str) -> Json:
        """Return the graph that a job executed."""
        story = self._open(who, job_id)
        if story is not None:
            sealed = story.submitted.workflow
        else:
            sealed = (await self._row(who, job_id)).workflow
        return (await opened(self.vault, who.tenant, [sealed]))[0].prompt

    async def id_under(self, who: Principal, key: str) -> str:
        """Return the id for a submission under a key; refuse a key that made a job already.

        A submission that came to nothing gives its key back, so the next one has another id.
        """
        for use in range(KEY_USES_MAX):
            prompt_id = prompt_id_of(who.tenant, f"{who.user_id}\nv2\n{key}\n{use}")
            if not await self._came_to_nothing(who, prompt_id):
                await self._require_unused(who, prompt_id)
                return prompt_id
        raise _reused()

    async def _came_to_nothing(self, who: Principal, prompt_id: str) -> bool:
        if isinstance(self.live.answers.known((who.tenant, prompt_id)), Declined):
            return True
        row = await self.archive.prompt(who.owner, prompt_id)
        return row is not None and row.state in ("refused", "withdrawn")

    async def _require_unused(self, who: Principal, prompt_id: str) -> None:
        known = self.live.queue.get(who.tenant, prompt_id) is not None
        if known or await self.archive.prompt(who.owner, prompt_id) is not None:
            raise _reused(prompt_id)

    def _open(self, who: Principal, job_id: str) -> Story | None:
        story = self.live.queue.get(who.tenant, job_id)
        mine = story is not None and story.owner == who.owner and story.queued is not None
        return story if mine else None

    async def _row(self, who: Principal, job_id: str) -> PromptRow:
        row = await self.archive.prompt(who.owner, job_id) if _known(job_id) else None
        if row is None or row.hidden or row.state in ("refused", "withdrawn", "submitted"):
            raise NotFound("There is no such job", field="id")
        return row

    def _of_story(self, story: Story, outputs: list[Json]) -> JsonObject:
        validated = story.validated
        progress: Json = None
        if story.running:
            steps, cached, at_work = self.live.telling.progress(story)
            progress = progress_of(steps, cached, at_work, validated.nodes if validated else 0)
        waits = None if story.running else self.live.queue.position(story)
        job = _job(story.prompt_id, status_of(story), story.submitted_at, story.leased_at, None)
        return {**job, "queue_position": waits, "progress": progress, "outputs": outputs}

    async def _of_row(self, who: Principal, row: PromptRow, outputs: list[Json]) -> JsonObject:
        open_yet = "running" if row.state == "running" else "queued"
        status = STATUS_OF.get(row.outcome or "", "failed") if row.state == "ended" else open_yet
        job = _job(row.prompt_id, status, row.submitted_at, row.started_at, row.ended_at)
        nodes = len({*row.executed, *row.cached})
        job |= {"progress": all_done(nodes) if status == "succeeded" else None, "outputs": outputs}
        if status in ("failed", "expired"):
            job["error"] = await self._error(who, row)
        return job

    async def _error(self, who: Principal, row: PromptRow) -> JsonObject:
        failure = await opened_object(self.vault, who.tenant, row.failure)
        said = next((one for one in row.messages if one.event == "execution_error"), None)
        traceback = failure.get("traceback")
        lines = traceback if isinstance(traceback, list) else [traceback or ""]
        message = row.reason
        if said is not None:
            message = exception_message(said, Entry(row, Workflow(), {}, failure))
        code = {"blocked": "content_blocked", "expired": "expired"}.get(row.outcome or "")
        return {
            "code": code or ("node_execution_error" if row.failed_node_type else "execution_error"),
            "message": message,
            "node_id": row.failed_node_id,
            "class_type": row.failed_node_type,
            "traceback": "".join(str(line) for line in lines) or None,
        }


def outputs_of(rows: list[OutputRow], base_url: str) -> list[Json]:
    """Return the released files of a prompt; their ids count those that are not released too."""
    return [
        _output(str(OutputId(row.prompt_id, place)), row, base_url)
        for place, row in enumerate(rows)
        if row.state == "released"
    ]


def is_over(job: JsonObject) -> bool:
    """Say whether a job has come to its end."""
    return job["status"] in OVER


def content_url(asset_id: str, base_url: str) -> str:
    """Return where the bytes of an asset are."""
    return f"{base_url}{PREFIX}/assets/{asset_id}/content"


def _output(asset_id: str, row: OutputRow, base_url: str) -> JsonObject:
    return {
        "node_id": row.node_id,
        "name": row.filename,
        "type": type_of(row.mime),
        "content_type": row.mime,
        "size_bytes": row.size_bytes,
        "id": asset_id,
        "hash": None,
        "url": content_url(asset_id, base_url),
        "url_expires_at": LINKS_HOLD,
        "job_id": row.prompt_id,
    }


def _job(
    job_id: str,
    status: str,
    created: datetime,
    started: datetime | None,
    ended: datetime | None,
) -> JsonObject:
    return {
        "id": job_id,
        "status": status,
        "created_at": rfc3339(created),
        "started_at": rfc3339(started) if started else None,
        "completed_at": rfc3339(ended) if ended else None,
        "expires_at": rfc3339(created + KEPT),
        "queue_position": None,
        "progress": None,
        "outputs": [],
        "error": None,
        "metrics": {
            "queue_ms": _ms(created, started),
            "execution_ms": _ms(started, ended),
        },
        "urls": {
            "self": f"{PREFIX}/jobs/{job_id}",
            "events": f"{PREFIX}/jobs/{job_id}/events",
            "cancel": f"{PREFIX}/jobs/{job_id}/cancel",
        },
    }


def _listed(
    job_id: str, status: str, created: datetime, changed: datetime | None = None
) -> JsonObject:
    return {
        "id": job_id,
        "status": status,
        "create_time": rfc3339(created),
        "update_time": rfc3339(changed or created),
    }


def _ms(start: datetime | None, end: datetime | None) -> int | None:
    return int((end - start).total_seconds() * 1000) if start and end else None


def _known(job_id: str) -> bool:
    return is_canonical_uuid(job_id)


def _reused(job_id: str = "") -> Refused:
    made = {"job_id": job_id} if job_id else {}
    return Refused(
        "This Idempotency-Key was used already",
        kind="idempotency_key_reuse",
        status=422,
        field="Idempotency-Key",
        **made,
    )
