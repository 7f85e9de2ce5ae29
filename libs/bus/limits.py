"""The bounds of the bus that its users can run into."""

from __future__ import annotations

from collections.abc import Sequence

from libs.core.errors import Poisoned

PAYLOAD_BYTES_MAX = 256 * 1024
BATCH_EVENTS_MAX = 1000
CLAIM_SECONDS = 10.0
IDLE_BATCH_SECONDS = 1.0
SIGNALS_WAITING_MAX = 1024


def check_sizes(subject: str, payloads: Sequence[bytes]) -> None:
    """Raise Poisoned, naming the limit, if the bus would not take these events."""
    if len(payloads) > BATCH_EVENTS_MAX:
        raise Poisoned(
            f"one append takes at most {BATCH_EVENTS_MAX} events",
            subject=subject,
            events=len(payloads),
        )
    largest = max(len(payload) for payload in payloads)
    if largest > PAYLOAD_BYTES_MAX:
        raise Poisoned(
            f"an event may have at most {PAYLOAD_BYTES_MAX} bytes",
            subject=subject,
            payload_bytes=largest,
            payload_bytes_max=PAYLOAD_BYTES_MAX,
        )
