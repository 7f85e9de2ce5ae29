"""What is written when a message is set aside for a person."""

from __future__ import annotations

import json
from collections.abc import Mapping

from libs.bus.base import DeadLetter
from libs.bus.lanes import Delivery
from libs.bus.subjects import safe_token, tenant_in
from libs.core.errors import StudioError
from libs.events.base import Event
from libs.events.envelope import Recorded

PREFIX = "dlq.v1"


def letter_of(
    service: str, reason: str, recorded: Recorded[Event], error: StudioError
) -> DeadLetter:
    """Return the dead letter of an event that could be read."""
    return DeadLetter(
        seq=0,
        service=service,
        reason=reason or error.code,
        tenant=recorded.tenant,
        prompt_id=recorded.correlation_id,
        subject=recorded.subject,
        origin_seq=recorded.seq,
        payload=recorded.payload,
    )


def letter_of_delivery(service: str, delivery: Delivery, error: StudioError) -> DeadLetter:
    """Return the dead letter of a delivery, readable or not."""
    return DeadLetter(
        seq=0,
        service=service,
        reason=str(error.facts.get("error", error.code)),
        tenant=tenant_in(delivery.subject),
        prompt_id=_prompt_in(delivery.payload),
        subject=delivery.subject,
        origin_seq=delivery.seq,
        payload=delivery.payload,
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
    }


def letter_from(seq: int, headers: Mapping[str, str], payload: bytes) -> DeadLetter:
    """Read back what `headers_of` wrote."""
    return DeadLetter(
        seq=seq,
        service=headers.get("Studio-Service", ""),
        reason=headers.get("Studio-Reason", ""),
        tenant=headers.get("Studio-Tenant", ""),
        prompt_id=headers.get("Studio-Prompt", ""),
        subject=headers.get("Studio-Subject", ""),
        origin_seq=int(headers.get("Studio-Seq", "0")),
        payload=payload,
    )


def _prompt_in(payload: bytes) -> str:
    """Return the prompt that bytes are about, as far as they tell."""
    try:
        body = json.loads(payload)
    except ValueError:
        return ""
    found = body.get("correlationid", "") if isinstance(body, dict) else ""
    return found if isinstance(found, str) else ""
