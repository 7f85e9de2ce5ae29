"""What the house asks of a bus. JetStream and the in-memory twin both satisfy it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from libs.core.errors import StudioError
from libs.core.jsonvalue import JsonObject
from libs.decider import Journal
from libs.events.base import Event
from libs.events.envelope import Recorded

Handler = Callable[[Recorded[Event]], Awaitable[None]]
AskHandler = Callable[[bytes], Awaitable[bytes]]

EVENTS_STREAM = "EVENTS"


@dataclass(frozen=True, kw_only=True)
class Reactor:
    """A durable reader of EVENTS that hands each event to `handler` and acks when it returns.

    Renaming `name` replays history, so names are data. Events of one subject are handled in
    order; different subjects up to `concurrency` at once. A failing event stays in hand, and its
    subject waits behind it: Refused is done with, Unavailable is tried again with a growing
    delay and counts as a failure only after `patience_seconds`, Poisoned goes to the dead letters
    at once, anything else after `deliver_max` tries. Order is kept within one process; what a
    process gave back or left behind by dying may come later than what followed it.
    """

    name: str
    filters: tuple[str, ...]
    handler: Handler
    concurrency: int = 16
    deliver_max: int = 5
    ack_wait_seconds: float = 30.0
    patience_seconds: float = 300.0


@dataclass(frozen=True)
class Batch:
    """Consecutive events of a feed; `pending` is how many more the stream held at that moment."""

    events: tuple[Recorded[Event], ...]
    pending: int
    last_seq: int


@dataclass(frozen=True)
class StreamState:
    """Where a stream begins and ends; `created` changes when it was made anew."""

    first_seq: int
    last_seq: int
    created: str


@dataclass(frozen=True)
class Signal:
    """Bytes that came on a subject, and may as well not have come."""

    subject: str
    data: bytes


@dataclass(frozen=True)
class DeadLetter:
    """A message that a service gave up, with the reason and the original bytes.

    `attempts` is how often it was tried, `node_id` where it went wrong if that is known, and `at`
    when the stream took the letter in.
    """

    seq: int
    service: str
    reason: str
    tenant: str
    prompt_id: str
    subject: str
    origin_seq: int
    payload: bytes
    message: str = ""
    attempts: int = 0
    node_id: str = ""
    node_type: str = ""
    at: datetime | None = None


class Bus(Protocol):
    """One connection of one process to the bus."""

    @property
    def journal(self) -> Journal:
        """Append and load."""
        ...

    async def provision(self) -> None:
        """Create what is missing of streams and buckets; never weaken what is there."""
        ...

    async def react(self, reactor: Reactor) -> None:
        """Read for `reactor` until cancelled; then finish what is begun and give back the rest.

        A second cancellation abandons what is begun; it is delivered again after the ack wait.
        """
        ...

    def feed(
        self, *, start_seq: int, filters: tuple[str, ...] = (), batch_max: int = 500
    ) -> AsyncIterator[Batch]:
        """Yield everything from `start_seq` on, in order and without a gap, for ever.

        Nothing is acked; the reader keeps its own place. Without filters a gap in sequence that
        the stream cannot explain raises. Bytes that are no event of ours come as `Unreadable`
        (`envelope.read`), never as an error. An empty batch is yielded about once a second so that
        a reader can tell silence from a dead connection.
        """
        ...

    async def state(self) -> StreamState:
        """Return where EVENTS begins and ends."""
        ...

    async def signal(self, subject: str, data: bytes) -> None:
        """Send a signal; never waits for anybody."""
        ...

    def signals(self, pattern: str) -> AsyncIterator[Signal]:
        """Yield signals on `pattern`; a slow reader loses the oldest."""
        ...

    async def ask(self, subject: str, data: bytes, timeout_seconds: float) -> bytes:
        """Ask and return the answer; raise Unavailable when nobody answers in time."""
        ...

    async def answer(self, subject: str, handler: AskHandler) -> None:
        """Answer asks on `subject`, many at once, until cancelled."""
        ...

    async def claim(self, role: str, holder: str) -> int | None:
        """Try to become the one holder of `role`; return a revision, or None if it is taken."""
        ...

    async def renew(self, role: str, holder: str, revision: int) -> int | None:
        """Keep `role`; None means that somebody else has it now. A claim lapses after 10 s."""
        ...

    async def resign(self, role: str, revision: int) -> None:
        """Give `role` up at once."""
        ...

    async def count(self, counter: str, amount: int = 1) -> int:
        """Take the next `amount` numbers of `counter` for oneself; return the first, from 1 on."""
        ...

    async def dead_letter(
        self, service: str, reason: str, recorded: Recorded[Event], error: StudioError
    ) -> None:
        """Set a message aside for a person."""
        ...

    def dead_letters(self, *, durable: str) -> AsyncIterator[DeadLetter]:
        """Yield dead letters; one is done with when the next is asked for."""
        ...

    async def kept_letters(self, most: int) -> list[DeadLetter]:
        """Return the newest dead letters, `most` at the most, in their order; all stay."""
        ...

    async def drop_letter(self, seq: int) -> None:
        """Remove one dead letter, because what it tells of is settled."""
        ...

    async def publish_public(self, tenant: str, kind: str, event_id: str, body: JsonObject) -> None:
        """Publish to PUBLIC once, however often it is called with the same `event_id`."""
        ...

    async def trouble(self) -> str:
        """Say why the bus cannot be worked with now, in words; nothing when it can."""
        ...

    async def close(self) -> None:
        """Flush and leave."""
        ...
