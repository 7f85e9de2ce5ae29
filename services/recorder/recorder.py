"""The recorder's two tasks: archive the stream, and tell the public what was archived."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from libs.bus.base import Bus
from libs.core.errors import Misconfigured, StudioError, Unavailable
from libs.events.base import Event
from libs.events.envelope import Recorded
from libs.events.signals import RECORDED_SUBJECT, Committed
from libs.store.readmodels.event_log import EVENTS
from services.recorder import metrics
from services.recorder.archive import Archive, Written
from services.recorder.continuity import check
from services.recorder.feeding import feed_from
from services.recorder.gathering import Gathering
from services.recorder.measuring import committing
from services.recorder.public import Publisher
from services.recorder.settings import RecorderSettings

RETRY_SECONDS_MIN: Final = 0.05
# The public may wait a moment, so that publishing does not go with every single commit.
PUBLISH_PAUSE_SECONDS: Final = 0.25

log = structlog.get_logger(__name__)


@dataclass
class Recorder:
    """Every dependency is a field; `trouble` is what keeps it from archiving, in words."""

    bus: Bus
    archive: Archive
    publisher: Publisher
    settings: RecorderSettings
    trouble: str = "has not looked at the stream yet"
    _failures: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def ready(self) -> str:
        """Return why it does not archive, or an empty string."""
        return self.trouble

    async def follow(self) -> None:
        """Archive the stream for ever, over every failure of bus and database."""
        while True:
            try:
                await self._follow()
            except Misconfigured as error:
                metrics.REFUSING.set(1)
                await self._pause(error, self.settings.refused_seconds)
            except Unavailable as error:
                await self._pause(error, self._retry_seconds())
            except Exception as error:
                log.exception("recorder_failed")
                await self._pause(error, self._retry_seconds())

    async def publish(self) -> None:
        """Publish what is archived, whenever there is news, over every failure."""
        while True:
            self._news.clear()
            try:
                await self.publisher.catch_up()
            except StudioError as error:
                log.warning("not_published_yet", reason=str(error))
                await asyncio.sleep(self.settings.retry_seconds_max)
                continue
            _leave_if_cancelled()
            await self._news.wait()
            await asyncio.sleep(PUBLISH_PAUSE_SECONDS)

    async def _follow(self) -> None:
        """Check that the stream goes on where the archive ends, and follow it until the hour."""
        loop = asyncio.get_running_loop()
        place = await self.archive.place()
        state = await check(self.bus, self.archive.database, place)
        check_at = loop.time() + self.settings.check_seconds
        metrics.REFUSING.set(0)
        self.trouble, self._failures = "", 0
        seq = place.seq if place else 0
        await self._tell(seq)
        async with (
            feed_from(self.bus, seq + 1, self.settings.batch_max) as feed,
            Gathering(feed, self.settings.batch_min) as gathering,
        ):
            while loop.time() < check_at:
                gathered = await gathering.next()
                metrics.PENDING.set(gathered.pending)
                if gathered.events:
                    seq = await self._archive(gathered.events, state.created)
                _leave_if_cancelled()
                # Signals may be lost, so the place is told again whenever the stream is silent.
                await self._tell(seq)

    async def _archive(self, events: Sequence[Recorded[Event]], stream_created: str) -> int:
        with committing(events):
            written = await self.archive.write(events, stream_created)
        await self._count(written)
        self._news.set()
        return written.seq

    async def _count(self, written: Written) -> None:
        metrics.ARCHIVED.inc(written.archived)
        metrics.SEQ.set(written.seq)
        for skip in written.skipped:
            metrics.SKIPPED.inc()
            await self.bus.dead_letter("recorder", skip.error.code, skip.recorded, skip.error)

    async def _tell(self, seq: int) -> None:
        committed = Committed(stream=EVENTS, seq=seq)
        await self.bus.signal(RECORDED_SUBJECT, committed.model_dump_json().encode())

    async def _pause(self, error: Exception, seconds: float) -> None:
        # The words of other errors may quote what people wrote.
        self.trouble = str(error) if isinstance(error, StudioError) else type(error).__name__
        self._failures += 1
        log.error("not_archiving", reason=self.trouble, again_in_seconds=round(seconds, 3))
        await asyncio.sleep(seconds)

    def _retry_seconds(self) -> float:
        return min(RETRY_SECONDS_MIN * 2.0**self._failures, self.settings.retry_seconds_max)


def _leave_if_cancelled() -> None:
    """Raise CancelledError again if a library below us has swallowed it; we would never end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
