"""A continuous pull on a consumer.

Messages are asked for ahead of need, and the server beats while it has none. When two beats are
missing, or the connection was lost, or the consumer is gone, the pull begins anew.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

import structlog

from libs.bus.connection import API, ApiError, Connection, Message
from libs.core.errors import Misconfigured, Unavailable
from libs.core.jsonvalue import JsonObject

log = structlog.get_logger(__name__)

EXPIRES_SECONDS = 30.0
BEATS_MISSED_MAX = 2
REOPEN_SECONDS_MAX = 2.0
NEVER_STATUS = 400
NANOS = 1_000_000_000
# `$JS.ACK.<stream>.<consumer>.<deliveries>.<seq>.<consumer seq>.<time>.<pending>`, and in the
# newer form with a domain and an account between `ACK` and the stream.
OLD_TOKENS = 9


@dataclass(frozen=True)
class Place:
    """What the reply subject of a delivered message says of it."""

    deliveries: int
    seq: int
    consumer_seq: int
    pending: int


def place_of(reply: str) -> Place:
    """Read a reply subject of JetStream."""
    tokens = reply.split(".")
    start = 2 if len(tokens) == OLD_TOKENS else 4
    deliveries, seq, consumer_seq, _, pending = tokens[start + 2 : start + 7]
    return Place(int(deliveries), int(seq), int(consumer_seq), int(pending))


async def create_consumer(
    connection: Connection, stream: str, config: JsonObject, durable: str = ""
) -> str:
    """Create a consumer, or change the durable one of that name; return its name."""
    verb = f"CONSUMER.CREATE.{stream}.{durable}" if durable else f"CONSUMER.CREATE.{stream}"
    answer = await connection.api(verb, {"stream_name": stream, "config": config})
    return str(answer["name"])


Create = Callable[[], Awaitable[str]]


class Pull:
    """Messages of one consumer, one after the other."""

    def __init__(
        self, connection: Connection, stream: str, create: Create, *, beat_seconds: float = 2.0
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._create = create
        self._beat_seconds = beat_seconds
        self._consumer = ""
        self._inbox = ""
        self._end: Callable[[], Any] | None = None
        self._unwatch = connection.watch(self._on_connection)
        self._waiting: deque[Message] = deque()
        self._news = asyncio.Event()
        self._wanted = 0
        self._heard = 0.0
        self._beat = False
        self._stale = True
        self._reopened = 0

    async def next(self, room: int) -> Message | None:
        """Return the next message, or None after a beat with nothing new.

        `room` is how many messages the caller could take now; no more are asked for ahead.
        """
        while True:
            self._news.clear()
            if self._stale and not self._waiting:
                await self._reopen()
            if not self._stale:
                await self._ask(room)
            if self._waiting:
                return self._waiting.popleft()
            if self._beat:
                self._beat = False
                return None
            await self._wait()

    def take(self, most: int) -> list[Message]:
        """Return what has come already, without waiting."""
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def restart(self) -> None:
        """Forget what has come and begin with a new consumer."""
        self._waiting.clear()
        self._stale = True

    async def stop(self) -> None:
        """Let nothing more come."""
        self._unwatch()
        self._stale = True
        await self._stop_listening()

    async def close(self) -> list[Message]:
        """Stop; return what had come and was not taken."""
        await self.stop()
        left = list(self._waiting)
        self._waiting.clear()
        return left

    @property
    def consumer(self) -> str:
        """Return the name of the consumer, or an empty string before there is one."""
        return self._consumer

    async def _ask(self, room: int) -> None:
        free = room - len(self._waiting) - self._wanted
        if free <= 0 or (self._wanted and free < room // 2):
            return
        request = {
            "batch": free,
            "expires": int(EXPIRES_SECONDS * NANOS),
            "idle_heartbeat": int(self._beat_seconds * NANOS),
        }
        subject = f"{API}.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        self._wanted += free
        if self._wanted == free:
            self._heard = monotonic()
        try:
            await self._connection.publish(subject, json.dumps(request).encode(), reply=self._inbox)
        except Unavailable as error:
            log.warning("pull not sent", consumer=self._consumer, reason=str(error))
            self._stale = True

    async def _wait(self) -> None:
        patience = self._beat_seconds * (BEATS_MISSED_MAX + 0.5)
        try:
            async with asyncio.timeout(max(self._heard + patience - monotonic(), 0)):
                await self._news.wait()
        except TimeoutError:
            if monotonic() - self._heard >= patience:
                log.warning("beats missed", consumer=self._consumer, seconds=patience)
                self._stale = True

    async def _reopen(self) -> None:
        """Make the consumer sure and listen on a new inbox; on trouble pause and let it be."""
        await self._connection.ready()
        await self._stop_listening()
        if self._reopened:
            await asyncio.sleep(min(0.05 * 2 ** min(self._reopened, 10), REOPEN_SECONDS_MAX))
        self._reopened += 1
        try:
            self._consumer = await self._create()
            self._inbox = self._connection.inbox()
            hear = partial(self._hear, self._inbox)
            self._end = await self._connection.listen(self._inbox, hear)
        except ApiError as error:
            if error.status == NEVER_STATUS:
                raise Misconfigured(
                    "JetStream refuses the consumer", stream=self._stream, **error.facts
                ) from error
            log.warning("consumer not opened", stream=self._stream, reason=str(error))
            return
        except Unavailable as error:
            log.warning("consumer not opened", stream=self._stream, reason=str(error))
            return
        self._wanted = 0
        self._heard = monotonic()
        self._stale = False

    async def _stop_listening(self) -> None:
        end, self._end = self._end, None
        if end is None:
            return
        try:
            await end()
        except Unavailable as error:
            log.warning("inbox not closed", consumer=self._consumer, reason=str(error))

    def _hear(self, inbox: str, message: Message) -> None:
        if inbox != self._inbox:
            return  # It was on its way when the pull began anew, and will be delivered again.
        self._heard = monotonic()
        status = message.headers.get("Status", "") if not message.data else ""
        if not status:
            self._wanted = max(self._wanted - 1, 0)
            self._reopened = 0
            self._waiting.append(message)
        elif status == "100":
            self._reopened = 0
            self._beat = True
        else:
            # The request ended: 404 and 408 for want of messages, all else for want of a consumer.
            missing = message.headers.get("Nats-Pending-Messages", str(self._wanted))
            self._wanted = max(self._wanted - int(missing), 0)
            if status not in ("404", "408"):
                log.info("pull ended", consumer=self._consumer, status=status)
                self._stale = True
        self._news.set()

    def _on_connection(self) -> None:
        self._stale = True
        self._news.set()
