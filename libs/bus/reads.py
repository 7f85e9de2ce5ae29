"""Reads of single messages. They are answered by the stream's leader, never by a copy that lags."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from libs.bus.connection import ApiError, Connection
from libs.core.jsonvalue import JsonObject

NO_MESSAGE = 10037
MESSAGE_ID = "Nats-Msg-Id"


@dataclass(frozen=True)
class Found:
    """A stored message."""

    seq: int
    subject: str
    headers: Mapping[str, str]
    data: bytes


async def last_of(connection: Connection, stream: str, subject: str) -> Found | None:
    """Return the newest message of `subject`."""
    return await _get(connection, stream, {"last_by_subj": subject})


async def next_of(connection: Connection, stream: str, subject: str, seq: int) -> Found | None:
    """Return the first message of `subject` at sequence `seq` or after it."""
    return await _get(connection, stream, {"seq": max(seq, 1), "next_by_subj": subject})


async def _get(connection: Connection, stream: str, which: JsonObject) -> Found | None:
    try:
        answer = await connection.api(f"STREAM.MSG.GET.{stream}", which)
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
    )


def _headers(raw: bytes) -> dict[str, str]:
    lines = raw.decode().split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip(): value.strip() for name, _, value in pairs}
