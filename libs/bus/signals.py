"""Signals and asks on plain NATS: nothing is stored, nothing is waited for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

import structlog

from libs.bus.base import AskHandler, Signal
from libs.bus.bell import Bell
from libs.bus.connection import Connection, Message
from libs.bus.limits import SIGNALS_WAITING_MAX
from libs.bus.replies import failure_headers, raise_failure
from libs.core.errors import Unavailable

log = structlog.get_logger(__name__)

ASKS_AT_ONCE_MAX = 1024
ANSWERERS = "answerers"


async def send(connection: Connection, subject: str, data: bytes) -> None:
    """Send a signal; while the server is away it is lost, which a signal may be."""
    if not connection.connected:
        return
    try:
        await connection.publish(subject, data)
    except Unavailable as error:
        log.debug("signal lost", subject=subject, reason=str(error))


async def listen(connection: Connection, pattern: str) -> AsyncIterator[Signal]:
    """Yield signals; a slow reader loses the oldest."""
    waiting: deque[Signal] = deque(maxlen=SIGNALS_WAITING_MAX)
    bell = Bell()

    def hear(message: Message) -> None:
        waiting.append(Signal(message.subject, message.data))
        bell.ring()

    end = await connection.listen(pattern, hear)
    unwatch = connection.watch(bell.ring)
    try:
        while True:
            while waiting:
                yield waiting.popleft()
            connection.check_alive()
            await bell.wait()
    finally:
        unwatch()
        await end()


async def ask(connection: Connection, subject: str, data: bytes, seconds: float) -> bytes:
    """Ask, and return the answer."""
    if not connection.connected:
        raise Unavailable("the bus is not reached", subject=subject)
    answer = await connection.request(subject, data, seconds=seconds)
    raise_failure(answer.headers, subject)
    return answer.data


class Answerer:
    """Answers asks on one subject; several processes share them."""

    def __init__(self, connection: Connection, subject: str, handler: AskHandler) -> None:
        self._connection = connection
        self._subject = subject
        self._handler = handler
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Answer until cancelled; those who still wait then hear that they must ask again."""
        end = await self._connection.listen(self._subject, self._hear, queue=ANSWERERS)
        bell = Bell()
        unwatch = self._connection.watch(bell.ring)
        try:
            while True:
                self._connection.check_alive()
                await bell.wait()
        finally:
            unwatch()
            await end()
            for task in self._answering:
                task.cancel()
            if self._answering:
                await asyncio.wait(self._answering)

    def _hear(self, message: Message) -> None:
        task = asyncio.create_task(self._answer(message))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, message: Message) -> None:
        if len(self._answering) > ASKS_AT_ONCE_MAX:
            await self._reply(message, b"", Unavailable("too many ask at once"))
            return
        try:
            answer = await self._handler(message.data)
        except asyncio.CancelledError:
            await self._reply(message, b"", Unavailable("the one asked is leaving"))
            raise
        except Exception as error:
            log.warning("ask failed", subject=self._subject, error=type(error).__name__)
            await self._reply(message, b"", error)
        else:
            await self._reply(message, answer, None)

    async def _reply(self, message: Message, answer: bytes, error: Exception | None) -> None:
        if not message.reply:
            return
        headers = failure_headers(error) if error else None
        try:
            await self._connection.publish(message.reply, answer, headers=headers)
        except Unavailable as trouble:
            log.warning("answer lost", subject=self._subject, reason=str(trouble))
