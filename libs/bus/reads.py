"""Reads of single messages. They are answered by the stream's leader, never by a copy that lags."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import cast

from libs.bus.connection import ApiError, Connection
from libs.core.errors import Unavailable
from libs.core.jsonvalue import JsonObject

NO_MESSAGE = 10037
PATIENCE_SECONDS = 15.0
ANSWER_SECONDS = 2.0
PAUSE_SECONDS = 0.1
SERVER_STATUS_MIN = 500
MESSAGE_ID = "Nats-Msg-Id"


@dataclass(frozen=True)
class Found:
    """A stored message."""

    seq: int
    subject: str
    headers: Mapping[str, str]
    data: bytes
    time: str = ""


async def patient(
    connection: Connection,
    verb: str,
    body: JsonObject | None = None,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> JsonObject:
    """Ask what changes nothing, again and again while there is no answer.

    A cluster that elects a leader is silent for seconds.
    """
    deadline = monotonic() + patience_seconds
    while True:
        try:
            await connection.ready(max(deadline - monotonic(), 0.01))
            return await connection.api(verb, body, seconds=ANSWER_SECONDS)
        except ApiError as error:
            if error.status < SERVER_STATUS_MIN or monotonic() >= deadline:
                raise
        except Unavailable:
            if monotonic() >= deadline:
                raise
        await asyncio.sleep(PAUSE_SECONDS)


async def last_of(
    connection: Connection,
    stream: str,
    subject: str,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Found | None:
    """Return the newest message of `subject`."""
    return await _get(connection, stream, {"last_by_subj": subject}, patience_seconds)


async def next_of(connection: Connection, stream: str, subject: str, seq: int) -> Found | None:
    """Return the first message of `subject` at sequence `seq` or after it."""
    which: JsonObject = {"seq": max(seq, 1), "next_by_subj": subject}
    return await _get(connection, stream, which, PATIENCE_SECONDS)


async def _get(
    connection: Connection, stream: str, which: JsonObject, patience_seconds: float
) -> Found | None:
    verb = f"STREAM.MSG.GET.{stream}"
    try:
        answer = await patient(connection, verb, which, patience_seconds=patience_seconds)
    except ApiError as error:
        if error.err_code == NO_MESSAGE:
            return None
        raise
    message = cast("dict[str, str]", answer["message"])
    return Found(
        seq=int(message["seq"]),
        subject=message["subject"],
        headers=_headers(base64.b64decode(message.get("hdrs", ""))),
        data=base64.b64decode(message.get("data", "")),
        time=message.get("time", ""),
    )


def _headers(raw: bytes) -> dict[str, str]:
    lines = raw.decode().split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip(): value.strip() for name, _, value in pairs}
