"""Prompts as jobs of Comfy API v2, the contract of the official SDK: states, progress, ids."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from libs.core.errors import NotFound
from libs.core.ids import is_canonical_uuid
from libs.core.jsonvalue import Json, JsonObject
from libs.events.signals import Progress
from services.gateway.domain.story import Story

OVER: Final = frozenset({"succeeded", "failed", "canceled", "expired"})
STATUS_OF: Final[Mapping[str, str]] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "blocked": "failed",
    "cancelled": "canceled",
    "expired": "expired",
}
# Whatever else a file is, it is a `file`: the contract has no word for meshes.
TYPES: Final = ("image", "video", "audio", "text")
REFERENCE: Final = "core/ASSET"
HASH: Final = re.compile(r"blake3:[0-9a-f]{64}\Z")
PLACE: Final = re.compile(r"[0-9]{1,6}\Z")


class OutputId(NamedTuple):
    """An output by its prompt and its place among all that the prompt made."""

    prompt_id: str
    place: int

    def __str__(self) -> str:
        return f"{self.prompt_id}.{self.place}"


def output_id(text: str) -> OutputId | None:
    """Read the id of an output; None for the id of an upload."""
    prompt_id, dot, place = text.partition(".")
    if not dot:
        return None
    if not is_canonical_uuid(prompt_id) or not PLACE.match(place):
        raise NotFound("There is no such asset", field="id")
    return OutputId(prompt_id, int(place))


def status_of(story: Story) -> str:
    """Return the state of an open prompt; its end is told when it is recorded."""
    if story.cancelling:
        return "canceling"
    return "running" if story.running else "queued"


def type_of(mime: str) -> str:
    """Return the contract's word for a kind of file."""
    kind = mime.partition("/")[0]
    return kind if kind in TYPES else "file"


def progress_of(
    steps: Mapping[str, Progress], cached: Collection[str], at_work: str | None, total: int
) -> JsonObject:
    """Return how far a running prompt is: nodes that are done, and the part of the one at work."""
    over = {node for node, step in steps.items() if step.state != "running"} | set(cached)
    done = min(len(over), total)
    now = steps.get(at_work or "")
    told: JsonObject = {"nodes_done": done, "nodes_total": total, "current_node": at_work}
    part = 0.0
    if now is not None and now.state == "running" and now.total > 1 and not now.announces:
        part = min(max(now.value / now.total, 0.0), 1.0)
        step, steps_in_all = int(now.value), int(now.total)
        told |= {
            "step": step,
            "steps": steps_in_all,
            "message": f"{at_work} {step}/{steps_in_all}",
        }
    return {"value": min((done + part) / total, 1.0) if total else 0.0, **told}


def all_done(nodes: int) -> JsonObject:
    """Return the progress of a prompt that succeeded."""
    return {"value": 1.0, "nodes_done": nodes, "nodes_total": nodes}


def referenced(workflow: Json) -> list[str]:
    """Return the ids of all assets that a workflow refers to, each once."""
    found: dict[str, None] = {}

    def walk(value: Json) -> None:
        if isinstance(value, dict):
            if value.get("__type") == REFERENCE:
                found[_id_in(value)] = None
                return
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(workflow)
    return list(found)


def resolved(workflow: Json, names: Mapping[str, str]) -> Json:
    """Return a workflow with each reference replaced by the name of the file it means."""
    if isinstance(workflow, dict):
        if workflow.get("__type") == REFERENCE:
            return names[_id_in(workflow)]
        return {name: resolved(value, names) for name, value in workflow.items()}
    if isinstance(workflow, list):
        return [resolved(value, names) for value in workflow]
    return workflow


def _id_in(reference: JsonObject) -> str:
    info = reference.get("info")
    found = info.get("id") if isinstance(info, dict) else None
    return found if isinstance(found, str) else ""
