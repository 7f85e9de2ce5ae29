"""Control maps: the edges, depths, poses or strokes that a picture is followed by, to be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from libs.core.errors import Refused
from libs.core.jsonvalue import Json, JsonObject
from services.painter.domain.building import map_node
from services.painter.domain.families import CONTROL_TYPES
from services.painter.domain.sheet import Sheet
from services.painter.domain.shelf import Fleet
from services.painter.domain.telling import OPEN, STATUSES, failure_of

# The key beside the editor's own in `extra_pnginfo`; what has it is no generation.
KEY: Final = "painter_map"
SAVER: Final = "preview"
# What billing asks for one picture without a step of sampling, and takes off the day's pictures.
COST_CREDITS: Final = 0.02
COST_IMAGES: Final = 1
DEPTH_FILE: Final = "dpt-hybrid-midas.safetensors"
DEPTH_SOURCE: Final = "Intel/dpt-hybrid-midas"
WORDS: Final[Mapping[str, str]] = {
    "blocked": "This picture was withheld by the content policy. Please use another one.",
    "cancelled": "It was cancelled.",
    "failed": "This picture could not be read for what is to be followed.",
}
TYPES: Final[Mapping[str, str]] = {
    "blocked": "content_blocked",
    "cancelled": "cancelled",
    "failed": "map_failed",
}


@dataclass(frozen=True)
class SeenMap:
    """A map as Studio tells it now."""

    map_id: str
    control_type: str
    status: str
    file: JsonObject | None = None
    usage: JsonObject | None = None
    failure: str = ""

    @property
    def is_open(self) -> bool:
        """Say whether it goes on."""
        return self.status in OPEN


def build_map(picture: str, control_type: str, fleet: Fleet) -> dict[str, JsonObject]:
    """Return the workflow of a map; its first nodes are those of a picture that is led by it."""
    require_network(control_type, fleet)
    sheet = Sheet({})
    image = sheet.add("control_picture", "LoadImage", image=picture)
    sheet.add(SAVER, "PreviewImage", images=map_node(sheet, fleet, control_type, image))
    return sheet.nodes


def require_network(control_type: str, fleet: Fleet) -> None:
    """Refuse a map that no network is there for, and say which file is."""
    if words := lacking(control_type, fleet):
        raise Refused(words, kind="not_possible", status=400, field="control_type")


def lacking(control_type: str, fleet: Fleet) -> str:
    """Say which file is missing for a type of maps; nothing where all is there."""
    if control_type != "depth" or fleet.files.get("depth"):
        return ""
    return (
        "Reading depth needs a file that is not here: put model.safetensors of "
        f"{DEPTH_SOURCE} into models/depth under the name {DEPTH_FILE}."
    )


def extra_data_of(control_type: str) -> JsonObject:
    """Return what travels with the prompt, so that it is known again."""
    return {"extra_pnginfo": {KEY: {"control_type": control_type}}}


def seen_map(map_id: str, job: JsonObject, entry: JsonObject | None) -> SeenMap | None:
    """Read a prompt out of Studio's job, and its history once it has ended; None for no map."""
    workflow = _object(job.get("workflow"))
    extra = _object(_object(workflow.get("extra_data")).get("extra_pnginfo"))
    kind = str(_object(extra.get(KEY)).get("control_type"))
    if kind not in CONTROL_TYPES:
        return None
    if entry is None:
        return SeenMap(map_id, kind, "running" if job["status"] == "in_progress" else "queued")
    return SeenMap(
        map_id=map_id,
        control_type=kind,
        status=STATUSES.get(str(entry.get("outcome")), "failed"),
        file=_file(_object(entry.get("outputs"))),
        usage=_object(entry.get("usage")),
        failure=failure_of(entry.get("status")),
    )


def told_map(one: SeenMap, painter: str) -> JsonObject:
    """Return a map as callers read it; `painter` is where they find Painter."""
    error: JsonObject | None = None
    if one.status in TYPES:
        error = {"type": TYPES[one.status], "message": plainly(one)}
    there = one.status == "succeeded" and one.file is not None
    usage = one.usage or {}
    return {
        "map_id": one.map_id,
        "control_type": one.control_type,
        "status": one.status,
        "image": f"{painter}/api/control-maps/{one.map_id}/image" if there else None,
        "compute_ms": usage.get("compute_ms", 0),
        "cost_credits": usage.get("cost_credits", 0.0),
        "error": error,
    }


def plainly(one: SeenMap) -> str:
    """Say why there is no map."""
    words = WORDS[one.status]
    return f"{words[:-1]}: {one.failure.rstrip('.')}." if one.failure else words


def _file(outputs: JsonObject) -> JsonObject | None:
    images = _object(outputs.get(SAVER)).get("images")
    first = images[0] if isinstance(images, list) and images else None
    return first if isinstance(first, dict) else None


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}
