"""A durable reader of EVENTS on JetStream."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from libs.bus.base import EVENTS_STREAM, Reactor
from libs.bus.connection import Connection, Message
from libs.bus.lanes import Bury, Lanes
from libs.bus.pull import NANOS, Pull, create_consumer, place_of
from libs.core.jsonvalue import JsonObject

# Of all processes together; beyond it the server holds back until something is acked.
UNACKED_MAX = 4096


@dataclass(frozen=True)
class JetStreamDelivery:
    """A message in hand; what is said of it goes to its reply subject."""

    connection: Connection
    subject: str
    reply: str
    payload: bytes
    seq: int
    deliveries: int

    async def ack(self) -> None:
        await self._say(b"+ACK")

    async def nak(self) -> None:
        await self._say(b"-NAK")

    async def term(self) -> None:
        await self._say(b"+TERM")

    async def in_progress(self) -> None:
        await self._say(b"+WPI")

    async def _say(self, verb: bytes) -> None:
        await self.connection.publish(self.reply, verb)


class DurableReader:
    """Hands a reactor's events to its lanes."""

    def __init__(self, connection: Connection, reactor: Reactor, bury: Bury) -> None:
        self._connection = connection
        self._reactor = reactor
        self._lanes = Lanes(reactor, bury)
        self._pull = Pull(connection, EVENTS_STREAM, self._consumer)

    async def run(self) -> None:
        """Read until cancelled; then give back what was not begun."""
        try:
            await self._lanes.run(self._next)
        finally:
            await self._give_back()

    async def _next(self, room: int) -> JetStreamDelivery:
        try:
            while True:
                message = await self._pull.next(room)
                if message is not None:
                    return self._delivery(message)
        except asyncio.CancelledError:
            # Others get at once what comes from here on, while the lanes finish theirs.
            await self._pull.stop()
            raise

    async def _give_back(self) -> None:
        # After the lanes, so that what is given back keeps its order.
        for message in await self._pull.close():
            await self._delivery(message).nak()

    def _delivery(self, message: Message) -> JetStreamDelivery:
        place = place_of(message.reply)
        return JetStreamDelivery(
            connection=self._connection,
            subject=message.subject,
            reply=message.reply,
            payload=message.data,
            seq=place.seq,
            deliveries=place.deliveries,
        )

    async def _consumer(self) -> str:
        config: JsonObject = {
            "durable_name": self._reactor.name,
            "name": self._reactor.name,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(self._reactor.ack_wait_seconds * NANOS),
            # Tries are counted in the lanes, which know a failure from a bus that is away.
            "max_deliver": -1,
            "max_ack_pending": UNACKED_MAX,
            "replay_policy": "instant",
            "filter_subjects": list(self._reactor.filters),
        }
        return await create_consumer(
            self._connection, EVENTS_STREAM, config, durable=self._reactor.name
        )
