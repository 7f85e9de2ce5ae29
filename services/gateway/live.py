"""The gateway's live view: one reader of the stream keeps queue, answers and frames true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import structlog
from pydantic import ValidationError

from libs.bus.base import EVENTS_STREAM, Bus
from libs.core.errors import Unavailable
from libs.events.base import Event, PromptKey
from libs.events.envelope import Recorded
from libs.events.run import LeaseExpired, LeaseGranted, RunEnded, RunQueued, RunRefused
from libs.events.signals import RECORDED_SUBJECT, Committed, Progress, progress_subject
from services.gateway import metrics
from services.gateway.answers import Answers, answer_of
from services.gateway.archive import Archive
from services.gateway.delivery import Deliveries
from services.gateway.domain.frames import Frame
from services.gateway.domain.queue import Queue
from services.gateway.domain.story import Story
from services.gateway.hub import Hub
from services.gateway.rendering import for_client
from services.gateway.telling import Telling

POLL_SECONDS = 0.2
TICK_SECONDS = 0.1
RETRY_SECONDS = 0.5
TENANT_TOKEN = 2

log = structlog.get_logger(__name__)


@dataclass
class Live:
    """Feed, signals and checkpoint in; queue, answers and frames out.

    A released file and an end are told only when the recorder has committed them: whoever hears
    of a file can fetch it, and whoever hears of the end, or sees the queue empty, finds the row
    in the history.
    """

    bus: Bus
    archive: Archive
    hub: Hub
    telling: Telling
    queue: Queue = field(default_factory=Queue)
    answers: Answers = field(default_factory=Answers)
    deliveries: Deliveries = field(default_factory=Deliveries)
    recorded_seq: int = 0
    _position: int = 0
    _caught_up: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _awaited_seqs: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.telling.on_end = self._finish

    async def follow(self) -> None:
        """Read the stream for ever, from the first open prompt on, over every failure."""
        while True:
            try:
                await self._follow()
            except Unavailable as error:
                log.warning("feed_interrupted", error=str(error), position=self._position)
                await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        state = await self.bus.state()
        if not self._position:
            start = await self.archive.start_seq()
            self._position = max(start, state.first_seq, 1) - 1
            self.telling.heard_seq = self._position
            self._recorded(await self.archive.recorded_seq())
        if self._position >= state.last_seq:
            self._caught_up.set()
        async for batch in self.bus.feed(start_seq=self._position + 1):
            for recorded in batch.events:
                self._apply(recorded)
            self._position = max(self._position, batch.last_seq)
            if self._position >= state.last_seq:
                self._caught_up.set()

    async def hear_recorded(self) -> None:
        """Hear from the recorder how far it has committed."""
        async for signal in self.bus.signals(RECORDED_SUBJECT):
            try:
                committed = Committed.model_validate_json(signal.data)
            except ValidationError as error:
                log.warning("bad_signal", subject=signal.subject, errors=error.error_count())
                continue
            if committed.stream == EVENTS_STREAM:
                self._recorded(committed.seq)

    async def poll_recorded(self) -> None:
        """Look at the checkpoint itself while something waits: signals may be lost."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not (self.telling.waits() or self._awaited_seqs):
                continue
            try:
                self._recorded(await self.archive.recorded_seq())
            except Unavailable as error:
                log.warning("checkpoint_unknown", error=str(error))

    async def hear_progress(self) -> None:
        """Hear from workers how far they are."""
        async for signal in self.bus.signals(progress_subject("*", "*")):
            try:
                progress = Progress.model_validate_json(signal.data)
            except ValidationError as error:
                log.warning("bad_signal", subject=signal.subject, errors=error.error_count())
                continue
            story = self.queue.get(signal.subject.split(".")[TENANT_TOKEN], progress.prompt_id)
            if story is not None:
                self.telling.step(story, progress)

    async def tick(self) -> None:
        """Give up on overdue signals, ten times a second."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.telling.tick(self.queue.get)

    async def caught_up(self, seconds: float) -> None:
        """Wait until everything that was on the stream at start has been read."""
        try:
            async with asyncio.timeout(seconds):
                await self._caught_up.wait()
        except TimeoutError:
            raise Unavailable("the queue is still being read", retry_after_seconds=1) from None

    @property
    def is_caught_up(self) -> bool:
        """Say whether the queue is known."""
        return self._caught_up.is_set()

    async def gone(self, keys: Collection[PromptKey], seconds: float) -> bool:
        """Wait until none of `keys` is open any more; say whether that came true in time."""
        return await self._until(lambda: all(self.queue.get(*key) is None for key in keys), seconds)

    async def recorded(self, seq: int, seconds: float) -> bool:
        """Wait until the recorder has committed `seq`; say whether that came true in time."""
        self._awaited_seqs.append(seq)
        try:
            return await self._until(lambda: self.recorded_seq >= seq, seconds)
        finally:
            self._awaited_seqs.remove(seq)

    def _apply(self, recorded: Recorded[Event]) -> None:
        story = self.queue.apply(recorded)
        self.telling.heard_seq = recorded.seq
        if story is None:
            return
        key = (story.tenant, story.prompt_id)
        match recorded.event:
            case RunQueued() | RunRefused():
                position = self.queue.accepted_at(*key)
                if (answer := answer_of(story, position)) is not None:
                    self.answers.give(key, answer)
                self._tell_status(story)
            case LeaseGranted() | LeaseExpired():
                self._tell_status(story)
            case RunEnded():
                self.deliveries.begin(key, recorded)
        self.telling.hear(story, recorded)
        self._wake()

    def _recorded(self, seq: int) -> None:
        if seq > self.recorded_seq:
            self.recorded_seq = seq
            self.telling.recorded(seq)
            self._wake()

    def _finish(self, story: Story, told: list[Frame]) -> None:
        """Leave the queue and say so in one step: nobody can ask in between."""
        client_id = story.submitted.client_id
        self.queue.leave(story)
        self.hub.tell(story.owner, client_id, for_client(story, told[:-1]))
        self._tell_status(story)
        self.hub.tell(story.owner, client_id, for_client(story, told[-1:]))
        self.hub.tell_listeners((story.tenant, story.prompt_id), told)
        self.deliveries.end(story)
        if story.ended is not None:
            metrics.ENDED.labels(story.ended.outcome).inc()
        self._wake()

    def _tell_status(self, story: Story) -> None:
        client_id = story.submitted.client_id
        self.hub.tell_status(story.owner, client_id, self.queue.remaining)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until(self, come_true: Callable[[], bool], seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while not come_true():
                    await self._changed.wait()
        except TimeoutError:
            return come_true()
        return True
