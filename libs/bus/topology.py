"""The streams and buckets of the house, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.bus.base import EVENTS_STREAM
from libs.bus.deadletter import PREFIX as LETTERS_PREFIX
from libs.bus.leadership import COUNTERS_STREAM, LEADERS_STREAM
from libs.bus.letters import LETTERS_STREAM, PUBLIC_STREAM
from libs.bus.limits import CLAIM_SECONDS, PAYLOAD_BYTES_MAX
from libs.bus.pull import NANOS
from libs.core.jsonvalue import JsonObject
from libs.events.base import SUBJECT_PREFIX
from libs.events.signals import progress_subject
from libs.settings import Settings

PROGRESS_STREAM = "PROGRESS"
HEADER_BYTES_MAX = 4 * 1024
MIB = 1024 * 1024
MINUTE = 60
DAY = 24 * 60 * MINUTE


@dataclass(frozen=True)
class StreamPlan:
    """What a stream must be; `settings` names the setting behind a field that has one."""

    name: str
    config: JsonObject
    settings: Mapping[str, str] = field(default_factory=dict)


def streams(settings: Settings) -> tuple[StreamPlan, ...]:
    """Return all streams that `settings` ask for."""
    replicas = {"num_replicas": "STUDIO_STREAM_REPLICAS"}
    return (
        StreamPlan(
            EVENTS_STREAM,
            _events(settings),
            {
                **replicas,
                "max_age": "STUDIO_EVENTS_MAX_AGE_DAYS",
                "max_bytes": "STUDIO_EVENTS_MAX_MIB",
            },
        ),
        StreamPlan(PROGRESS_STREAM, _progress()),
        StreamPlan(PUBLIC_STREAM, _public(settings), replicas),
        StreamPlan(LETTERS_STREAM, _letters(settings), replicas),
        StreamPlan(LEADERS_STREAM, _bucket(settings, "leaders", CLAIM_SECONDS), replicas),
        StreamPlan(COUNTERS_STREAM, _bucket(settings, "counters"), replicas),
    )


def _events(settings: Settings) -> JsonObject:
    return {
        "name": EVENTS_STREAM,
        "subjects": [f"{SUBJECT_PREFIX}.>"],
        "retention": "limits",
        "storage": "file",
        # A full log refuses what is new; it never forgets what it has acknowledged.
        "discard": "new",
        "deny_delete": True,
        "deny_purge": True,
        # Reads come from the leader: a copy may lag behind what was just acknowledged.
        "allow_direct": False,
        "allow_atomic": True,
        "compression": "s2",
        "max_age": int(settings.events_max_age_days * DAY * NANOS),
        "max_bytes": settings.events_max_mib * MIB,
        "max_msg_size": PAYLOAD_BYTES_MAX + HEADER_BYTES_MAX,
        "duplicate_window": 2 * MINUTE * NANOS,
        "num_replicas": settings.stream_replicas,
    }


def _progress() -> JsonObject:
    return {
        "name": PROGRESS_STREAM,
        "subjects": [progress_subject("*", "*")],
        "retention": "limits",
        "storage": "memory",
        "discard": "old",
        "allow_direct": False,
        "max_age": 15 * MINUTE * NANOS,
        "max_bytes": 64 * MIB,
        "max_msgs_per_subject": 256,
        "num_replicas": 1,
    }


def _public(settings: Settings) -> JsonObject:
    return {
        "name": PUBLIC_STREAM,
        "subjects": ["pub.v1.>"],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "allow_direct": False,
        "max_age": 30 * DAY * NANOS,
        "max_bytes": 512 * MIB,
        # The recorder may publish again what it published before it died.
        "duplicate_window": 10 * MINUTE * NANOS,
        "num_replicas": settings.stream_replicas,
    }


def _letters(settings: Settings) -> JsonObject:
    return {
        "name": LETTERS_STREAM,
        "subjects": [f"{LETTERS_PREFIX}.>"],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "allow_direct": False,
        "max_age": 30 * DAY * NANOS,
        "max_bytes": 256 * MIB,
        "duplicate_window": 10 * MINUTE * NANOS,
        "num_replicas": settings.stream_replicas,
    }


def _bucket(settings: Settings, name: str, lapse_seconds: float = 0) -> JsonObject:
    window = min(lapse_seconds, 2 * MINUTE) if lapse_seconds else 2 * MINUTE
    return {
        "name": f"KV_{name}",
        "subjects": [f"$KV.{name}.>"],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "deny_delete": True,
        "allow_rollup_hdrs": True,
        "allow_direct": False,
        "max_age": int(lapse_seconds * NANOS),
        "max_msgs_per_subject": 1,
        "duplicate_window": int(window * NANOS),
        "num_replicas": settings.stream_replicas,
    }
