"""What a generation is told as: Studio's words about a prompt, joined with Painter's record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from libs.core.jsonvalue import Json, JsonObject
from services.painter.domain.record import Record, record_in

STATUSES: Final[Mapping[str, str]] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "expired": "failed",
    "blocked": "blocked",
    "cancelled": "cancelled",
}
OPEN: Final = frozenset({"queued", "running"})
WORDS: Final[Mapping[str, str]] = {
    "blocked": "The picture was withheld by the content policy. Please put it differently.",
    "cancelled": "It was cancelled.",
    "failed": "The picture could not be made.",
}
TYPES: Final[Mapping[str, str]] = {
    "blocked": "content_blocked",
    "cancelled": "cancelled",
    "failed": "generation_failed",
}


@dataclass(frozen=True)
class Places:
    """Where things are found: Painter's and Studio's own addresses, without a slash at the end."""

    painter: str
    studio: str


@dataclass(frozen=True)
class Seen:
    """A prompt as Studio tells it now; moments are RFC 3339."""

    prompt_id: str
    record: Record
    status: str
    created: str
    ended: str | None = None
    outputs: Mapping[str, Json] | None = None
    usage: JsonObject | None = None
    failure: str = ""
    place: int | None = None
    favourite: bool = False

    @property
    def is_open(self) -> bool:
        """Say whether it goes on."""
        return self.status in OPEN

    def file(self, index: int) -> JsonObject | None:
        """Return the file of an image as `/view` asks for it, None while there is none."""
        if not 0 <= index < len(self.record.images):
            return None
        shown = (self.outputs or {}).get(self.record.images[index].node)
        images = shown.get("images") if isinstance(shown, dict) else None
        first = images[0] if isinstance(images, list) and images else None
        return first if isinstance(first, dict) else None


def seen_open(prompt_id: str, extra_data: Json, *, running: bool, place: int | None) -> Seen | None:
    """Read a prompt that goes on; None for one that is not Painter's."""
    record = record_in(extra_data)
    if record is None:
        return None
    made = extra_data.get("create_time") if isinstance(extra_data, dict) else None
    created = _text(int(made)) if isinstance(made, int | float) else ""
    status = "running" if running else "queued"
    return Seen(prompt_id, record, status, created, place=place)


def seen_ended(prompt_id: str, entry: JsonObject) -> Seen | None:
    """Read an ended prompt out of Studio's history; None for one that is not Painter's."""
    record = record_in(entry.get("extra_data"))
    if record is None:
        return None
    outputs, usage = entry.get("outputs"), entry.get("usage")
    ended = entry.get("ended")
    return Seen(
        prompt_id=prompt_id,
        record=record,
        status=STATUSES.get(str(entry.get("outcome")), "failed"),
        created=str(entry.get("submitted") or ""),
        ended=str(ended) if ended else None,
        outputs=outputs if isinstance(outputs, dict) else None,
        usage=usage if isinstance(usage, dict) else None,
        failure=failure_of(entry.get("status")),
    )


def told(one: Seen, places: Places, progress: JsonObject | None = None) -> JsonObject:
    """Return a generation as callers read it."""
    usage = one.usage or {}
    settings = one.record.settings
    error: JsonObject | None = None
    if one.status in TYPES:
        message = WORDS[one.status]
        if one.status == "failed" and one.failure:
            message = f"{message[:-1]}: {one.failure.rstrip('.')}."
        error = {"type": TYPES[one.status], "message": message}
    return {
        "generation_id": one.prompt_id,
        "kind": one.record.kind,
        "status": one.status,
        "images": _images(one, places),
        "usage": {
            "model": settings.get("model", ""),
            "steps": settings.get("steps", 0),
            "compute_ms": usage.get("compute_ms", 0),
            "cost_credits": usage.get("cost_credits", 0.0),
        },
        "settings": settings,
        "created": one.created,
        "ended": one.ended,
        "seconds": _seconds(one),
        "place": one.place if one.status == "queued" else None,
        "progress": progress if one.status == "running" else None,
        "favourite": one.favourite,
        "error": error,
        "source": one.record.source,
        "studio_url": f"{places.studio}/?workflow={one.prompt_id}",
    }


def _images(one: Seen, places: Places) -> list[Json]:
    root = f"{places.painter}/api/generations/{one.prompt_id}/images"
    return [
        {
            "index": index,
            "url": f"{root}/{index}",
            "width": image.width,
            "height": image.height,
            "seed": image.seed,
            "workflow_id": one.prompt_id,
        }
        for index, image in enumerate(one.record.images)
        if one.file(index) is not None
    ]


def _seconds(one: Seen) -> float | None:
    if one.is_open or not one.ended or not one.created:
        return None
    lasted = datetime.fromisoformat(one.ended) - datetime.fromisoformat(one.created)
    return max(0.0, lasted.total_seconds())


def failure_of(status: Json) -> str:
    """Return the words of a failure that Studio tells of."""
    messages = status.get("messages") if isinstance(status, dict) else None
    for message in messages if isinstance(messages, list) else ():
        text = str(message[1]) if isinstance(message, list) and len(message) > 1 else ""
        kind, _, words = text.partition(": ")
        if kind == "execution_error":
            return words.partition("\n")[0][:300]
    return ""


def _text(moment_ms: int) -> str:
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment_ms % 1000:03d}Z"
