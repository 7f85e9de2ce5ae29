"""Dead letters and public events on JetStream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import cast

from libs.bus.base import DeadLetter
from libs.bus.connection import Connection
from libs.bus.deadletter import PREFIX, headers_of, letter_from, subject_of_letter
from libs.bus.pull import NANOS, Pull, create_consumer, place_of
from libs.bus.reactor import JetStreamDelivery
from libs.bus.reads import MESSAGE_ID, next_of, patient
from libs.bus.subjects import safe_token
from libs.bus.writer import Draft, Write, Writer
from libs.core.jsonvalue import JsonObject
from libs.telemetry import measures

LETTERS_STREAM = "DLQ"
PUBLIC_STREAM = "PUBLIC"
LETTER_SECONDS_MAX = 120


def public_subject(tenant: str, kind: str) -> str:
    """Return where those outside hear of one kind of news."""
    return f"pub.v1.{tenant}.generation.{kind}"


async def write_letter(connection: Connection, letter: DeadLetter) -> None:
    """Keep a dead letter; the same one twice is kept once."""
    headers = headers_of(letter)
    draft = Draft(headers.pop(MESSAGE_ID), letter.payload, headers)
    write = Write(LETTERS_STREAM, subject_of_letter(letter), [draft])
    await Writer(connection).write(write)
    measures.DEAD_LETTERS.labels(letter.service, letter.reason).inc()


async def read_letters(connection: Connection, durable: str) -> AsyncIterator[DeadLetter]:
    """Yield dead letters; one is acked when the next is asked for."""

    async def create() -> str:
        config: JsonObject = {
            "durable_name": durable,
            "name": durable,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": LETTER_SECONDS_MAX * NANOS,
            "max_deliver": -1,
            "filter_subject": f"{PREFIX}.>",
        }
        return await create_consumer(connection, LETTERS_STREAM, config, durable=durable)

    pull = Pull(connection, LETTERS_STREAM, create)
    in_hand: JetStreamDelivery | None = None
    try:
        while True:
            message = await pull.next(1)
            if message is None:
                continue
            place = place_of(message.reply)
            in_hand = JetStreamDelivery(
                connection, message.subject, message.reply, message.data, place.seq, 1
            )
            yield letter_from(place.seq, message.headers, message.data)
            await in_hand.ack()
            in_hand = None
    finally:
        await pull.close()
        if in_hand is not None and connection.connected:
            await in_hand.nak()


async def kept_letters(connection: Connection, most: int) -> list[DeadLetter]:
    """Return the newest letters, oldest of them first."""
    info = await patient(connection, f"STREAM.INFO.{LETTERS_STREAM}")
    state = cast("dict[str, int]", info["state"])
    letters: list[DeadLetter] = []
    seq = max(state["first_seq"], state["last_seq"] - most + 1)
    while seq <= state["last_seq"]:
        found = await next_of(connection, LETTERS_STREAM, f"{PREFIX}.>", seq)
        if found is None:
            break
        at = datetime.fromisoformat(found.time) if found.time else None
        letters.append(letter_from(found.seq, found.headers, found.data, at))
        seq = found.seq + 1
    return letters


async def drop_letter(connection: Connection, seq: int) -> None:
    """Remove one letter."""
    await patient(connection, f"STREAM.MSG.DELETE.{LETTERS_STREAM}", {"seq": seq})


async def write_public(
    connection: Connection, tenant: str, kind: str, event_id: str, body: JsonObject
) -> None:
    """Publish one event to those outside."""
    subject = public_subject(tenant, safe_token(kind))
    data = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    await Writer(connection).write(Write(PUBLIC_STREAM, subject, [Draft(event_id, data)]))
