"""Writes whose outcome is known in the end.

A publish without an answer may have been stored or not. It is sent again with the same ids, and
when the stream then says that the subject has moved, its tail says by whom: by ourselves the
first time, or by somebody else.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic
from typing import cast

import structlog

from libs.bus.connection import ApiError, Connection, api_answer
from libs.bus.identity import new_event_id
from libs.bus.limits import PAYLOAD_BYTES_MAX
from libs.bus.reads import MESSAGE_ID, last_of, next_of
from libs.core.errors import Conflict, Poisoned, Unavailable
from libs.telemetry import measures

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 20.0
ANSWER_SECONDS = 3.0
PAUSE_SECONDS_MAX = 1.0
REMEMBERED_SECONDS = 15.0
EXPECTED_SEQ = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_STREAM = "Nats-Expected-Stream"


class Meaning(Enum):
    """What a refusal of JetStream means for a write."""

    MOVED = "the subject has moved"
    FULL = "the stream is full"
    TOO_LARGE = "the message is too large"
    AGAIN = "not now"
    NEVER = "never"


# 10071 comes from a single server; 10164 from a cluster; 10201 is a batch that holds a known id.
MOVED_CODES = frozenset({10071, 10164, 10201})
FULL_CODE = 10077
TOO_LARGE_CODE = 10054
# The same id on its way already, a batch that lost a message, and too many batches at once.
AGAIN_CODES = frozenset({10158, 10176, 10210, 10211})
SERVER_STATUSES = frozenset({408, 429})
SERVER_STATUS_MIN = 500


def meaning(status: int, err_code: int) -> Meaning:
    """Say what a refusal means."""
    if err_code in MOVED_CODES:
        return Meaning.MOVED
    if err_code == FULL_CODE:
        return Meaning.FULL
    if err_code == TOO_LARGE_CODE:
        return Meaning.TOO_LARGE
    if err_code in AGAIN_CODES or status in SERVER_STATUSES or status >= SERVER_STATUS_MIN:
        return Meaning.AGAIN
    return Meaning.NEVER


@dataclass(frozen=True)
class Draft:
    """A message to be written; its id is made once and kept through all tries."""

    message_id: str
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Write:
    """Drafts for one subject; without `expected` they are written wherever the subject is."""

    stream: str
    subject: str
    drafts: Sequence[Draft]
    expected: int | None = None
    patience_seconds: float = PATIENCE_SECONDS


class Writer:
    """Writes all drafts or none, and finds out which."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._refused_at: float | None = None

    @property
    def trouble(self) -> str:
        """Say that the last write was not taken.

        Only for a while: nobody writes through who says so, and it would never be over.
        """
        since = self._refused_at
        recent = since is not None and monotonic() - since < REMEMBERED_SECONDS
        return "takes no writes" if recent else ""

    async def write(self, write: Write) -> list[int]:
        """Return the sequences; raise Conflict, Poisoned, or Unavailable when time is over."""
        seqs = await self._until_known(write)
        self._refused_at = None
        return seqs

    async def _until_known(self, write: Write) -> list[int]:
        deadline = monotonic() + write.patience_seconds
        tries = 0
        while True:
            tries += 1
            try:
                await self._connection.ready(max(deadline - monotonic(), 0.01))
                return await self._send(write)
            except ApiError as refusal:
                seqs = await self._after_refusal(write, refusal)
                if seqs is not None:
                    return seqs
                trouble: Unavailable = refusal
            except (Conflict, Poisoned):
                raise
            except Unavailable as unknown:
                trouble = unknown
            self._refused_at = monotonic()
            pause = random.uniform(0.5, 1) * min(0.05 * 2 ** min(tries, 10), PAUSE_SECONDS_MAX)
            if monotonic() + pause >= deadline:
                raise Unavailable(
                    "the bus did not say whether it stored it",
                    subject=write.subject,
                    ids=[draft.message_id for draft in write.drafts],
                    tries=tries,
                ) from trouble
            measures.WRITE_RETRIES.labels(write.stream).inc()
            log.warning("write again", subject=write.subject, tries=tries, reason=str(trouble))
            await asyncio.sleep(pause)

    async def _send(self, write: Write) -> list[int]:
        headers = [{**draft.headers, MESSAGE_ID: draft.message_id} for draft in write.drafts]
        headers[0][EXPECTED_STREAM] = write.stream
        if write.expected is not None:
            headers[0][EXPECTED_SEQ] = str(write.expected)
        if len(write.drafts) > 1:
            # The batch is a try's own; what makes it one write over all tries are the ids.
            batch_id = new_event_id()
            for number, header in enumerate(headers, 1):
                header |= {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(number)}
            headers[-1]["Nats-Batch-Commit"] = "1"
        for draft, header in zip(write.drafts[:-1], headers, strict=False):
            await self._connection.publish(write.subject, draft.data, headers=header)
        answer = await self._connection.request(
            write.subject, write.drafts[-1].data, seconds=ANSWER_SECONDS, headers=headers[-1]
        )
        last = int(cast("int", api_answer(answer.data, write.subject)["seq"]))
        return list(range(last - len(write.drafts) + 1, last + 1))

    async def _after_refusal(self, write: Write, refusal: ApiError) -> list[int] | None:
        """Return the sequences of an earlier try of ours, or None to try again, or raise."""
        match meaning(refusal.status, refusal.err_code):
            case Meaning.MOVED:
                return await self._after_moved(write)
            case Meaning.FULL:
                self._refused_at = monotonic()
                raise Unavailable(
                    "the stream takes no more: raise STUDIO_EVENTS_MAX_MIB or give it disk",
                    stream=write.stream,
                    description=refusal.description,
                ) from refusal
            case Meaning.TOO_LARGE:
                raise Poisoned(
                    f"an event may have at most {PAYLOAD_BYTES_MAX} bytes",
                    subject=write.subject,
                    payload_bytes=max(len(draft.data) for draft in write.drafts),
                ) from refusal
            case Meaning.AGAIN:
                return None
            case Meaning.NEVER:
                raise Poisoned(
                    "JetStream will never take it",
                    subject=write.subject,
                    err_code=refusal.err_code,
                    description=refusal.description,
                ) from refusal

    async def _after_moved(self, write: Write) -> list[int] | None:
        expected = write.expected or 0
        try:
            found = await next_of(self._connection, write.stream, write.subject, expected + 1)
            if found is not None and found.headers.get(MESSAGE_ID) == write.drafts[0].message_id:
                return list(range(found.seq, found.seq + len(write.drafts)))
            last = found or await last_of(self._connection, write.stream, write.subject)
        except Unavailable as error:
            log.warning("tail not read", subject=write.subject, reason=str(error))
            return None
        last_seq = last.seq if last else 0
        if last_seq == expected:
            # A cluster refuses while another write is still on its way; soon it is known whose.
            return None
        raise Conflict(
            "somebody else wrote first", subject=write.subject, expected=expected, found=last_seq
        )
