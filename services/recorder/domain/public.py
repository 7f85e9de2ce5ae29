"""What the public stream may know of a prompt: its facts, never its words (hanzo.stream.v1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from libs.core.jsonvalue import Json, JsonObject
from libs.core.money import credits_of
from libs.events.base import Event
from libs.events.envelope import Recorded, rfc3339
from libs.events.prompt import PromptSubmitted
from libs.events.run import RunEnded, RunRefused
from libs.store.readmodels.outputs import OutputRow
from libs.store.readmodels.prompts import PromptRow

PUBLIC_EVENTS: Final = (PromptSubmitted, RunEnded, RunRefused)
SCHEMA: Final = "hanzo.stream.v1"
MODEL_FOLDERS: Final = frozenset({"checkpoints", "diffusion_models", "unet"})


@dataclass(frozen=True)
class PublicEvent:
    """A public event: the last token of its subject, and its body."""

    kind: str
    body: JsonObject


def public_event(
    recorded: Recorded[Event], prompt: PromptRow, outputs: Sequence[OutputRow]
) -> PublicEvent | None:
    """Return the public form of an event; None for what the public has no part in."""
    kind, facts = _kind_and_facts(recorded.event, prompt, outputs)
    if not kind:
        return None
    data: JsonObject = {
        "event": f"generation_{kind}",
        "prompt_id": prompt.prompt_id,
        "distinct_id": prompt.user_id,
        "tier": prompt.tier,
        "source": prompt.source,
        "dialect": prompt.dialect,
        "$lib": "hanzo-python",
        "$insert_id": recorded.event_id,
        **facts,
    }
    body: JsonObject = {
        "schema": SCHEMA,
        "id": f"evt_{recorded.event_id}",
        "type": f"studio.generation.{kind}",
        "source": "studio",
        "timestamp": rfc3339(recorded.time),
        "org_id": recorded.tenant,
        "data": data,
    }
    return PublicEvent(kind, body)


def _kind_and_facts(
    event: Event, prompt: PromptRow, outputs: Sequence[OutputRow]
) -> tuple[str, JsonObject]:
    blocked = prompt.clearance == "blocked" or prompt.outcome == "blocked"
    match event:
        case PromptSubmitted():
            return "requested", {}
        case RunEnded(outcome="succeeded"):
            return "completed", _completed(prompt, outputs)
        case RunRefused() | RunEnded() if blocked:
            return "blocked", {"labels": _texts(prompt.labels)}
        case RunRefused():
            return "failed", {"error_type": event.code}
        case RunEnded():
            return "failed", {"error_type": prompt.exception_type or event.outcome}
    return "", {}


def _completed(prompt: PromptRow, outputs: Sequence[OutputRow]) -> JsonObject:
    shown = [output for output in outputs if output.state == "released"]
    largest = max(shown, key=lambda output: output.width * output.height, default=None)
    models = [need.name for need in prompt.needs if need.folder in MODEL_FOLDERS]
    return {
        "model": models[0] if models else None,
        "steps": prompt.estimate.steps if prompt.estimate else None,
        "width": largest.width if largest else None,
        "height": largest.height if largest else None,
        "num_images": len(shown),
        "compute_ms": prompt.compute_ms,
        "queue_ms": _milliseconds(prompt.queued_at, prompt.started_at),
        "cost_credits": credits_of(prompt.held_micros or 0),
        "backend": prompt.fingerprint.get("backend"),
        "worker": prompt.worker_id,
    }


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    if start is None or end is None:
        return None
    return round((end - start).total_seconds() * 1000)


def _texts(texts: Sequence[str]) -> Json:
    return list(texts)
