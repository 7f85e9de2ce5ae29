"""Ids and times of events are made here, so that pure code never makes one."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import uuid_utils

from libs.core.ids import EventId, PromptId

# Changing this value would give every idempotency key a new prompt.
NAMESPACE = uuid.UUID("8f3a1d56-6a0c-5e1b-9a53-35c0de000035")


def utc_now() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)


def new_event_id() -> EventId:
    """Return a new id; ids sort by the time they were made."""
    return EventId(str(uuid_utils.uuid7()))


def new_prompt_id() -> PromptId:
    """Return a new prompt id; ids sort by the time they were made."""
    return PromptId(str(uuid_utils.uuid7()))


def prompt_id_of(tenant: str, idempotency_key: str) -> PromptId:
    """Return the one prompt id that this key of this tenant stands for."""
    # A tenant is a token and holds no line break, so no two pairs give the same text.
    return PromptId(str(uuid.uuid5(NAMESPACE, f"{tenant}\n{idempotency_key}")))
