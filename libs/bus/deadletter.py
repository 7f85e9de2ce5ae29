"""What is written when a message is set aside for a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from libs.bus.base import DeadLetter
from libs.bus.lanes import Delivery
from libs.bus.subjects import EVENT_TOKENS, safe_token, tenant_in
from libs.core.errors import StudioError
from libs.events.base import Event
from libs.events.envelope import Recorded

PREFIX = "dlq.v1"
WORDS_MAX: Final = 500
MORE: Final = ("message", "attempts", "node_id", "node_type")
# What else lies on EVENTS is about accounts, workers and models.
PROMPT_KINDS: Final = frozenset({"prompt", "verdict", "clearance", "run", "execution", "release"})


def letter_of(
    service: str, reason: str, recorded: Recorded[Event], error: StudioError
) -> DeadLetter:
    """Return the dead letter of an event that could be read."""
    return DeadLetter(
        seq=0,
        service=service,
        reason=reason or error.code,
        tenant=recorded.tenant,
        prompt_id=recorded.correlation_id or _prompt_of(recorded.subject),
        subject=recorded.subject,
        origin_seq=recorded.seq,
        payload=recorded.payload,
        message=error.message[:WORDS_MAX],
        attempts=_number(error.facts.get("attempts")),
        node_id=str(error.facts.get("node_id", ""))[:WORDS_MAX],
        node_type=str(error.facts.get("node_type", ""))[:WORDS_MAX],
    )


def letter_of_delivery(service: str, delivery: Delivery, error: StudioError) -> DeadLetter:
    """Return the dead letter of a delivery, readable or not."""
    return DeadLetter(
        seq=0,
        service=service,
        reason=str(error.facts.get("error", error.code)),
        tenant=tenant_in(delivery.subject),
        prompt_id=_prompt_in(delivery.payload) or _prompt_of(delivery.subject),
        subject=delivery.subject,
        origin_seq=delivery.seq,
        payload=delivery.payload,
        message=error.message[:WORDS_MAX],
        attempts=delivery.deliveries,
    )


def subject_of_letter(letter: DeadLetter) -> str:
    """Return the subject that a dead letter is written to."""
    return f"{PREFIX}.{safe_token(letter.service)}.{safe_token(letter.reason)}"


def headers_of(letter: DeadLetter) -> dict[str, str]:
    """Return all of a dead letter but its payload, which stays byte for byte what it was."""
    return {
        # The same event given up twice by the same service is one dead letter.
        "Nats-Msg-Id": f"{letter.service}:{letter.subject}:{letter.origin_seq}",
        "Studio-Service": letter.service,
        "Studio-Reason": letter.reason,
        "Studio-Tenant": letter.tenant,
        "Studio-Prompt": letter.prompt_id,
        "Studio-Subject": letter.subject,
        "Studio-Seq": str(letter.origin_seq),
        # In JSON no word that somebody chose can end a header and begin another.
        "Studio-More": json.dumps({name: getattr(letter, name) for name in MORE}),
    }


def letter_from(
    seq: int, headers: Mapping[str, str], payload: bytes, at: datetime | None = None
) -> DeadLetter:
    """Read back what `headers_of` wrote."""
    more = json.loads(headers.get("Studio-More", "{}"))
    return DeadLetter(
        seq=seq,
        service=headers.get("Studio-Service", ""),
        reason=headers.get("Studio-Reason", ""),
        tenant=headers.get("Studio-Tenant", ""),
        prompt_id=headers.get("Studio-Prompt", ""),
        subject=headers.get("Studio-Subject", ""),
        origin_seq=int(headers.get("Studio-Seq", "0")),
        payload=payload,
        at=at,
        **{name: more[name] for name in MORE if name in more},
    )


def _prompt_of(subject: str) -> str:
    """Return the prompt that a subject names, if it is one of a prompt's own."""
    tokens = subject.split(".")
    named = len(tokens) == EVENT_TOKENS and tokens[3] in PROMPT_KINDS
    return tokens[4] if named else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _prompt_in(payload: bytes) -> str:
    """Return the prompt that bytes are about, as far as they tell."""
    try:
        body = json.loads(payload)
    except ValueError:
        return ""
    found = body.get("correlationid", "") if isinstance(body, dict) else ""
    return found if isinstance(found, str) else ""
