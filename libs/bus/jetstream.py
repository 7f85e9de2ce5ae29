"""The bus on NATS JetStream."""

from __future__ import annotations

from collections.abc import AsyncIterator

from libs.bus.base import (
    EVENTS_STREAM,
    AskHandler,
    Batch,
    Bus,
    DeadLetter,
    Reactor,
    Signal,
    StreamState,
)
from libs.bus.connection import Connection, Login
from libs.bus.deadletter import letter_of, letter_of_delivery
from libs.bus.feed import FeedReader, no_room, stream_state
from libs.bus.journal import JetStreamJournal
from libs.bus.lanes import Delivery
from libs.bus.leadership import Counters, Leadership
from libs.bus.letters import (
    drop_letter,
    kept_letters,
    read_letters,
    write_letter,
    write_public,
)
from libs.bus.provisioning import provision
from libs.bus.reactor import DurableReader
from libs.bus.signals import Answerer, ask, listen, send
from libs.bus.topology import streams
from libs.core.errors import StudioError, Unavailable
from libs.core.jsonvalue import JsonObject
from libs.events.base import Event
from libs.events.envelope import Recorded
from libs.settings import Settings

HEALTH_SECONDS = 2.0
SILENT = "does not answer"


async def connect(settings: Settings, name: str) -> Bus:
    """Connect the process called `name` to the NATS server that `settings` name."""
    news, signals = Connection(name, "news"), Connection(name, "signals")
    login = Login(settings.nats_user, settings.nats_password.get_secret_value())
    await news.open(settings.nats_url, login)
    try:
        await signals.open(settings.nats_url, login)
    except StudioError:
        await news.close()
        raise
    return JetStreamBus(settings, name, news, signals)


class JetStreamBus:
    """A `Bus`; signals go over a connection of their own, so that previews never delay an ack."""

    def __init__(
        self, settings: Settings, name: str, news: Connection, signals: Connection
    ) -> None:
        self._settings = settings
        self._news = news
        self._signals = signals
        self._journal = JetStreamJournal(news, f"/studio/{name}")
        self._leadership = Leadership(news)
        self._counters = Counters(news)

    @property
    def journal(self) -> JetStreamJournal:
        """Append and load."""
        return self._journal

    async def provision(self) -> None:
        """Create what is missing of streams and buckets."""
        await provision(self._news, streams(self._settings))

    async def react(self, reactor: Reactor) -> None:
        """Read for `reactor` until cancelled."""
        await DurableReader(self._news, reactor, self._bury).run()

    def feed(
        self, *, start_seq: int, filters: tuple[str, ...] = (), batch_max: int = 500
    ) -> AsyncIterator[Batch]:
        """Yield everything from `start_seq` on."""
        return FeedReader(self._news, start_seq, filters, batch_max=batch_max).read()

    async def state(self) -> StreamState:
        """Return where EVENTS begins and ends."""
        return await stream_state(self._news)

    async def signal(self, subject: str, data: bytes) -> None:
        """Send a signal."""
        await send(self._signals, subject, data)

    def signals(self, pattern: str) -> AsyncIterator[Signal]:
        """Yield signals on `pattern`."""
        return listen(self._signals, pattern)

    async def ask(self, subject: str, data: bytes, timeout_seconds: float) -> bytes:
        """Ask and return the answer."""
        return await ask(self._news, subject, data, timeout_seconds)

    async def answer(self, subject: str, handler: AskHandler) -> None:
        """Answer asks on `subject` until cancelled."""
        await Answerer(self._news, subject, handler).run()

    async def claim(self, role: str, holder: str) -> int | None:
        """Try to become the one holder of `role`."""
        return await self._leadership.claim(role, holder)

    async def renew(self, role: str, holder: str, revision: int) -> int | None:
        """Keep `role`."""
        return await self._leadership.renew(role, holder, revision)

    async def resign(self, role: str, revision: int) -> None:
        """Give `role` up."""
        await self._leadership.resign(role, revision)

    async def count(self, counter: str, amount: int = 1) -> int:
        """Take the next `amount` numbers of `counter`."""
        return await self._counters.count(counter, amount)

    async def dead_letter(
        self, service: str, reason: str, recorded: Recorded[Event], error: StudioError
    ) -> None:
        """Set a message aside for a person."""
        await write_letter(self._news, letter_of(service, reason, recorded, error))

    def dead_letters(self, *, durable: str) -> AsyncIterator[DeadLetter]:
        """Yield dead letters."""
        return read_letters(self._news, durable)

    async def kept_letters(self, most: int) -> list[DeadLetter]:
        """Return the newest dead letters."""
        return await kept_letters(self._news, most)

    async def drop_letter(self, seq: int) -> None:
        """Remove one dead letter."""
        await drop_letter(self._news, seq)

    async def publish_public(self, tenant: str, kind: str, event_id: str, body: JsonObject) -> None:
        """Publish to PUBLIC; the same `event_id` again within ten minutes is published once."""
        await write_public(self._news, tenant, kind, event_id, body)

    async def trouble(self) -> str:
        """Ask JetStream, and look back at what became of the last write."""
        if not (self._news.connected and self._signals.connected):
            return SILENT
        try:
            info = await self._news.api(f"STREAM.INFO.{EVENTS_STREAM}", seconds=HEALTH_SECONDS)
        except Unavailable:
            return SILENT
        return no_room(info) or self._journal.trouble

    async def close(self) -> None:
        """Flush and leave."""
        await self._signals.close()
        await self._news.close()

    async def _bury(self, service: str, delivery: Delivery, error: StudioError) -> None:
        await write_letter(self._news, letter_of_delivery(service, delivery, error))
