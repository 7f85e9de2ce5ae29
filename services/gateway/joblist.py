"""The list of a caller's prompts: open ones from memory, finished ones a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from libs.core.jsonvalue import JsonObject
from libs.store.readmodels.jobs import Choice, JobRow, Outcome, SortBy
from libs.store.readmodels.outputs import OutputRow
from services.gateway.archive import Archive, Job
from services.gateway.domain.frames import UI_KEYS
from services.gateway.domain.story import Owner, Story

STATUSES: Final = ("pending", "in_progress", "completed", "failed", "cancelled")
OUTCOMES: Final[dict[str, tuple[Outcome, ...]]] = {
    "completed": ("succeeded",),
    "failed": ("failed", "blocked", "expired"),
    "cancelled": ("cancelled",),
}
# What the editor shows of a prompt that is over; nobody looks at latents.
SEEN: Final = ("image/", "video/", "audio/", "model/")
# What a list has that nobody asked to be shorter.
LIMIT: Final = 1_000
LIMIT_MAX: Final = 10_000
OFFSET_MAX: Final = 2**31


@dataclass(frozen=True)
class Query:
    """What the list is to hold, and in which order."""

    statuses: frozenset[str]
    sort_by: SortBy
    descending: bool
    limit: int | None
    offset: int
    workflow_id: str = ""


@dataclass(frozen=True)
class Listed:
    """A part of the list, and how long the whole is."""

    jobs: list[JsonObject]
    total: int


async def listed(
    archive: Archive,
    running: Sequence[Story],
    pending: Sequence[Story],
    owner: Owner,
    query: Query,
) -> Listed:
    """Return the part of the list that is asked for.

    No finished prompt is read that the part cannot hold: as many as there are open prompts may
    stand before it, so that reading begins that much earlier.
    """
    wanted = {"in_progress": running, "pending": pending}
    stories = [
        story
        for name, found in wanted.items()
        if name in query.statuses
        for story in found
        if query.workflow_id in ("", story.submitted.workflow_id)
    ]
    outcomes = [one for name in OUTCOMES if name in query.statuses for one in OUTCOMES[name]]
    limit = LIMIT if query.limit is None else min(query.limit, LIMIT_MAX)
    offset = min(query.offset, OFFSET_MAX)
    begin = max(0, offset - len(stories))
    # Whoever is open here is shown as open, also when its end has just been recorded.
    without = [story.prompt_id for story in running]
    choice = Choice(outcomes, query.sort_by, query.descending, without, query.workflow_id)
    found, total = await archive.jobs(owner, choice, offset=begin, limit=offset + limit - begin)
    entries: list[tuple[tuple[datetime | timedelta, int], Story | Job]] = [
        *((_key(job.row, query.sort_by), job) for job in found),
        *((_open_key(story, query.sort_by), story) for story in stories),
    ]
    entries.sort(key=lambda entry: entry[0], reverse=query.descending)
    part = entries[offset - begin : offset - begin + limit]
    return Listed([_shown(one) for _, one in part], total + len(stories))


def job_of_story(story: Story) -> JsonObject:
    """Return an open prompt as an entry of the list."""
    job: JsonObject = {
        "id": story.prompt_id,
        "status": "in_progress" if story.running else "pending",
        "priority": story.number,
        "create_time": _ms(story.submitted_at),
        "outputs_count": 0,
        "previewable_outputs_count": 0,
        **_of_document(story.submitted.workflow_id),
    }
    if story.leased_at is not None:
        job["execution_start_time"] = _ms(story.leased_at)
    return job


def job_of_row(row: JobRow, outputs: Sequence[OutputRow]) -> JsonObject:
    """Return a finished prompt as an entry of the list."""
    status = next(name for name, outcomes in OUTCOMES.items() if row.outcome in outcomes)
    job: JsonObject = {
        "id": row.prompt_id,
        "status": status,
        "priority": row.number or 0,
        "create_time": _ms(row.submitted_at),
        "outputs_count": len(outputs),
        "previewable_outputs_count": sum(_seen(output) for output in outputs),
        **_of_document(row.workflow_id),
    }
    for name, moment in (
        ("execution_start_time", row.started_at),
        ("execution_end_time", row.ended_at),
    ):
        if moment is not None:
            job[name] = _ms(moment)
    if shown := _cover(outputs):
        job["preview_output"] = {
            "filename": shown.filename,
            "subfolder": shown.subfolder,
            "type": shown.folder,
            "nodeId": shown.node_id,
            "mediaType": UI_KEYS.get(shown.kind, shown.kind),
        }
    return job


def _of_document(workflow_id: str) -> JsonObject:
    return {"workflow_id": workflow_id} if workflow_id else {}


def _cover(outputs: Sequence[OutputRow]) -> OutputRow | None:
    """Return the file that stands for a prompt: the first that was saved, else the first seen."""
    seen = [output for output in outputs if _seen(output)]
    saved = (output for output in seen if output.folder == "output")
    return next(saved, seen[0] if seen else None)


def _seen(output: OutputRow) -> bool:
    return output.mime.startswith(SEEN)


def _shown(one: Story | Job) -> JsonObject:
    return job_of_story(one) if isinstance(one, Story) else job_of_row(one.row, one.outputs)


def _key(row: JobRow, sort_by: SortBy) -> tuple[datetime | timedelta, int]:
    return (row.duration if sort_by == "execution_duration" else row.submitted_at, row.number or 0)


def _open_key(story: Story, sort_by: SortBy) -> tuple[datetime | timedelta, int]:
    number = story.queued.number if story.queued else 0
    return (timedelta(0) if sort_by == "execution_duration" else story.submitted_at, number)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
