"""Reading EVENTS in order and without a gap, from any place in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol, cast

import structlog

from libs.bus.base import EVENTS_STREAM, Batch, StreamState
from libs.bus.connection import ApiError, Connection, Message
from libs.bus.limits import IDLE_BATCH_SECONDS, PAYLOAD_BYTES_MAX
from libs.bus.pull import NANOS, Pull, create_consumer, place_of
from libs.bus.reads import patient
from libs.core.errors import Poisoned, Unavailable
from libs.core.jsonvalue import JsonObject
from libs.events.base import Event
from libs.events.envelope import Recorded, read, unwrap

log = structlog.get_logger(__name__)

INACTIVE_SECONDS = 120


class Decode(Protocol):
    """Reads the bytes of a message."""

    def __call__(self, payload: bytes, /, *, seq: int, subject: str) -> Recorded[Event]:
        """Return what the bytes say."""
        ...


async def stream_state(connection: Connection) -> StreamState:
    """Return where EVENTS begins and ends."""
    info = await patient(connection, f"STREAM.INFO.{EVENTS_STREAM}")
    state = cast("dict[str, int]", info["state"])
    return StreamState(max(state["first_seq"], 1), state["last_seq"], str(info["created"]))


def no_room(info: JsonObject) -> str:
    """Say that EVENTS is full, if it would refuse the largest event."""
    bytes_max = cast("dict[str, int]", info["config"]).get("max_bytes", -1)
    size = cast("dict[str, int]", info["state"])["bytes"]
    return "is full" if 0 < bytes_max < size + PAYLOAD_BYTES_MAX else ""


@dataclass
class Cursor:
    """How far a reader is, in the stream and in its consumer of the moment."""

    next_seq: int
    consumer_seq: int = 0


class FeedReader:
    """One reader of EVENTS with a consumer of its own, which may be lost at any time."""

    def __init__(
        self,
        connection: Connection,
        start_seq: int,
        filters: tuple[str, ...],
        *,
        batch_max: int,
        decode: Decode = read,
    ) -> None:
        self._connection = connection
        self._filters = filters
        self._batch_max = batch_max
        self._decode = decode
        self._cursor = Cursor(max(start_seq, 1))
        self._pull = Pull(
            connection, EVENTS_STREAM, self._consumer, beat_seconds=IDLE_BATCH_SECONDS
        )

    async def read(self) -> AsyncIterator[Batch]:
        """Yield batches for ever."""
        try:
            while True:
                message = await self._pull.next(self._batch_max)
                if message is None:
                    yield Batch((), 0, self._cursor.next_seq - 1)
                    continue
                messages = [message, *self._pull.take(self._batch_max - 1)]
                events = await self._in_order(messages)
                if events:
                    pending = place_of(messages[len(events) - 1].reply).pending
                    yield Batch(tuple(events), pending, self._cursor.next_seq - 1)
        finally:
            await self._close()

    async def _in_order(self, messages: list[Message]) -> list[Recorded[Event]]:
        """Return the events up to the first that the consumer left out, and read on from there."""
        events = []
        for message in messages:
            place = place_of(message.reply)
            if place.consumer_seq != self._cursor.consumer_seq + 1:
                log.warning("feed broke", seq=place.seq, expected=self._cursor.next_seq)
                self._pull.restart()
                break
            if not self._filters and place.seq != self._cursor.next_seq:
                await self._explain(place.seq)
            events.append(self._decode(message.data, seq=place.seq, subject=message.subject))
            self._cursor.next_seq = place.seq + 1
            self._cursor.consumer_seq = place.consumer_seq
        return events

    async def _explain(self, seq: int) -> None:
        """Raise unless what is missing before `seq` has left the stream by age."""
        state = await stream_state(self._connection)
        facts = {"expected": self._cursor.next_seq, "found": seq, "first_seq": state.first_seq}
        if state.first_seq < seq:
            raise Poisoned("the stream has a gap", **facts)
        log.warning("feed begins later", **facts)

    async def _consumer(self) -> str:
        config: JsonObject = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._cursor.next_seq,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": INACTIVE_SECONDS * NANOS,
        }
        if self._filters:
            config["filter_subjects"] = list(self._filters)
        self._pull.restart()
        self._cursor.consumer_seq = 0
        return await create_consumer(self._connection, EVENTS_STREAM, config)

    async def _close(self) -> None:
        await self._pull.close()
        if not self._pull.consumer or not self._connection.connected:
            return
        try:
            await self._connection.api(f"CONSUMER.DELETE.{EVENTS_STREAM}.{self._pull.consumer}")
        except ApiError as error:
            log.debug("consumer gone already", reason=str(error))
        except Unavailable as error:
            # The server forgets it by itself after a while without a reader.
            log.info("consumer not deleted", reason=str(error))


async def read_until(
    connection: Connection, subject: str, start_seq: int, end_seq: int
) -> list[Recorded[Event]]:
    """Return the events of one subject between two sequences, of which the last exists."""
    feed = FeedReader(connection, start_seq, (subject,), batch_max=500, decode=unwrap)
    reader = feed.read()
    events: list[Recorded[Event]] = []
    try:
        async for batch in reader:
            events += [recorded for recorded in batch.events if recorded.seq <= end_seq]
            if events and events[-1].seq == end_seq:
                break
    finally:
        await reader.aclose()  # type: ignore[attr-defined]
    return events
