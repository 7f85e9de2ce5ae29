"""The envelope: CloudEvents 1.0 structured JSON around every event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Generic, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from libs.core.errors import Poisoned
from libs.core.jsonvalue import Json, JsonObject
from libs.events.base import Event, Unreadable, subject_of
from libs.events.catalogue import class_of
from libs.events.upcasts import upcast

TYPE_PREFIX = "ai.hanzo.studio."
SCHEMA_PREFIX = "https://schemas.hanzo.ai/studio/"
TENANT_TOKEN = 2
# Several readers of one process see the same bytes within moments; long ones are not kept.
MEMORY_SIZE = 256
MEMORY_BYTES_MAX = 16 * 1024
E_co = TypeVar("E_co", bound=Event, covariant=True)


@dataclass(frozen=True)
class Cause:
    """Why an event was written: the event before it, the prompt, the trace."""

    causation_id: str = ""
    correlation_id: str = ""
    traceparent: str = ""


@dataclass(frozen=True)
class Recorded(Generic[E_co]):
    """An event as it lies on the stream: who, when, after what, and the bytes as received."""

    event: E_co
    event_id: str
    seq: int
    subject: str
    tenant: str
    time: datetime
    source: str
    causation_id: str
    correlation_id: str
    traceparent: str
    payload: bytes

    def cause(self) -> Cause:
        """Return the cause that this event is for whatever follows from it."""
        return Cause(self.event_id, self.correlation_id, self.traceparent)


def rfc3339(moment: datetime) -> str:
    """Render a moment as RFC 3339 UTC with milliseconds (X12)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + (
        f"{moment.microsecond // 1000:03d}Z"
    )


def wrap(
    event: Event, *, event_id: str, tenant: str, source: str, time: datetime, cause: Cause
) -> bytes:
    """Return the bytes that go on the bus for `event`."""
    name = type(event).__name__
    body: JsonObject = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": TYPE_PREFIX + name,
        "subject": event.subject_id,
        "time": rfc3339(time),
        "datacontenttype": "application/json",
        "dataschema": f"{SCHEMA_PREFIX}{name}/v{event.version}",
        "tenantid": tenant,
        "causationid": cause.causation_id,
        "correlationid": event.correlation_id or cause.correlation_id,
        "traceparent": cause.traceparent,
        "data": cast("Json", event.model_dump(mode="json")),
    }
    attempt = getattr(event, "attempt", None)
    if attempt is not None:
        body["attempt"] = attempt
    # CloudEvents knows absent attributes, not empty ones.
    present = {name: value for name, value in body.items() if value != ""}
    return to_json(present)


def unwrap(payload: bytes, *, seq: int, subject: str) -> Recorded[Event]:
    """Read bytes from the bus; raise Poisoned if they are no event that we know."""
    if len(payload) > MEMORY_BYTES_MAX:
        return _unwrap(payload, seq, subject)
    return _remembered(payload, seq, subject)


def _unwrap(payload: bytes, seq: int, subject: str) -> Recorded[Event]:
    try:
        body = from_json(payload)
        name = str(body["type"]).removeprefix(TYPE_PREFIX)
        major = int(str(body["dataschema"]).rpartition("/v")[2])
        data = upcast(name, major, body["data"])
        event = class_of(name).model_validate(data)
        return Recorded(
            event=event,
            event_id=_text(body["id"]),
            seq=seq,
            subject=subject,
            tenant=_text(body["tenantid"]),
            time=_moment(body["time"]),
            source=_text(body["source"]),
            causation_id=_text(body.get("causationid", "")),
            correlation_id=_text(body.get("correlationid", "")),
            traceparent=_text(body.get("traceparent", "")),
            payload=payload,
        )
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise Poisoned(
            "bytes on the bus are no event of ours", seq=seq, subject=subject, reason=str(error)
        ) from error


_remembered = lru_cache(MEMORY_SIZE)(_unwrap)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"an attribute is {type(value).__name__} and no text")
    return value


def _moment(value: object) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError("the time has no zone")
    return moment


def read(payload: bytes, *, seq: int, subject: str) -> Recorded[Event]:
    """Read bytes for a reader that must see everything: what is no event comes as Unreadable."""
    try:
        return unwrap(payload, seq=seq, subject=subject)
    except Poisoned as error:
        return _unreadable(payload, seq, subject, str(error.facts.get("reason", error)))


def _unreadable(payload: bytes, seq: int, subject: str, reason: str) -> Recorded[Event]:
    """Keep what can be told: the wire fields if it is JSON, else the place and the bytes."""
    try:
        body = from_json(payload)
    except ValueError:
        body = {}
    fields = body if isinstance(body, dict) else {}
    tokens = subject.split(".")
    try:
        time = datetime.fromisoformat(str(fields.get("time")))
    except ValueError:
        time = datetime.fromtimestamp(0, UTC)
    name = str(fields.get("type", "")).removeprefix(TYPE_PREFIX)
    return Recorded(
        event=Unreadable(name=name, reason=reason),
        event_id=str(fields.get("id") or f"unreadable-{seq}"),
        seq=seq,
        subject=subject,
        tenant=tokens[2] if len(tokens) > TENANT_TOKEN else "",
        time=time if time.tzinfo else time.replace(tzinfo=UTC),
        source=str(fields.get("source", "")),
        causation_id="",
        correlation_id=str(fields.get("correlationid", "")),
        traceparent="",
        payload=payload,
    )


def subject_for(tenant: str, events: Sequence[Event]) -> str:
    """Return the one subject that all `events` belong to."""
    subjects = {subject_of(tenant, event) for event in events}
    if len(subjects) != 1:
        raise Poisoned("events of one append must share one subject", subjects=sorted(subjects))
    return subjects.pop()
