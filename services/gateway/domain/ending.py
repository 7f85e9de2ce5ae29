"""How a prompt's end is told: the last frames before the queue shrinks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from libs.core.jsonvalue import Json, JsonObject
from libs.events.execution import failed_at
from services.gateway.domain.frames import Frame
from services.gateway.domain.story import Story

BLOCKED_MESSAGE = "The picture was withheld by the content policy"
LOST_MESSAGE = "The run could not be finished"
LOST = "WorkerLost"
EXPIRED = "RunExpired"


def last_frames(story: Story, time_ms: int, detail: JsonObject, at_work: str | None) -> list[Frame]:
    """Return the frames that tell the end.

    `detail` is the unsealed account of the failure, `at_work` the node that was last announced.
    """
    ended = story.ended
    if ended is None:
        return []
    if ended.outcome == "succeeded":
        return _success(story, time_ms)
    if ended.outcome == "cancelled":
        return _interrupted(story, time_ms, at_work)
    return [_error(story, time_ms, detail, at_work)]


def _success(story: Story, time_ms: int) -> list[Frame]:
    """HIP-35's word goes first: clients of ComfyUI stop listening at theirs."""
    prompt_id = story.prompt_id
    return [
        Frame("execution_complete", {"prompt_id": prompt_id}),
        Frame("execution_success", {"prompt_id": prompt_id, "timestamp": time_ms}),
    ]


def _interrupted(story: Story, time_ms: int, at_work: str | None) -> list[Frame]:
    event = story.interrupted
    data: JsonObject = {
        "prompt_id": story.prompt_id,
        "node_id": (event.node_id if event else "") or at_work or "",
        "node_type": event.node_type if event else "",
        "executed": _texts(event.executed if event else ()),
        "timestamp": time_ms,
    }
    return [Frame("execution_interrupted", data)]


def _error(story: Story, time_ms: int, detail: JsonObject, at_work: str | None) -> Frame:
    kind, message = _what(story, detail)
    failed = story.failed
    blocked_node = story.blocked[0].node_id if story.blocked else ""
    data: JsonObject = {
        "prompt_id": story.prompt_id,
        "node_id": (failed.node_id if failed else "") or blocked_node or at_work or "",
        "node_type": failed.node_type if failed else "",
        "executed": _texts(failed.executed if failed else ()),
        "exception_message": message,
        "exception_type": kind,
        "traceback": _lines(detail.get("traceback")),
        "current_inputs": _object(detail.get("current_inputs")),
        "current_outputs": _list(detail.get("current_outputs")),
        "timestamp": time_ms,
    }
    return Frame("execution_error", data)


def _what(story: Story, detail: JsonObject) -> tuple[str, str]:
    ended = story.ended
    reason = ended.reason if ended else ""
    if ended and ended.outcome == "blocked":
        return "ContentBlocked", blocked_message({event.category for event in story.blocked})
    if failed := story.failed:
        plain = failed_at(failed.exception_type, failed.node_id, failed.node_type)
        message = in_full(reason, plain, detail.get("exception_message"))
        return failed.exception_type, message
    kind = EXPIRED if ended and ended.outcome == "expired" else LOST
    return kind, in_full(reason)


def blocked_message(categories: Iterable[str]) -> str:
    """Return why a picture was withheld, in words."""
    named = ", ".join(sorted(categories))
    return f"{BLOCKED_MESSAGE} ({named})" if named else BLOCKED_MESSAGE


def in_full(reason: str, plain: str = "", said: Json = "") -> str:
    """Return what the node said, behind the reason of the end where that tells more.

    The reason of a single failure is `plain`, which the frame's other fields tell already.
    """
    more = reason if reason != plain else ""
    return ". ".join(str(part) for part in (more[:1].upper() + more[1:], said) if part) or (
        reason or LOST_MESSAGE
    )


def _texts(ids: Sequence[str]) -> list[Json]:
    return list(ids)


def _lines(value: Json) -> list[Json]:
    if isinstance(value, str):
        return list(value.splitlines(keepends=True))
    return _list(value)


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}
