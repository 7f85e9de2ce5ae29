"""Batches for the archive: large and read ahead while it is behind, small and soon when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Self

import structlog

from libs.bus.base import Batch
from libs.events.base import Event
from libs.events.envelope import Recorded

# A busy house commits so often and no oftener; an event that comes alone is committed at once.
PACE_SECONDS: Final = 0.02

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Gathered:
    """What is archived together, and how much more the stream has."""

    events: tuple[Recorded[Event], ...]
    pending: int


class Gathering:
    """Gathers from a feed; while the stream has more, the next batch is read during a commit."""

    def __init__(self, feed: AsyncIterator[Batch], batch_min: int) -> None:
        self._feed = feed
        self._batch_min = batch_min
        self._ahead: asyncio.Task[Gathered] | None = None
        self._given_at = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave what is being read; the feed is its giver's to end."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return
        ahead.cancel()
        await asyncio.wait((ahead,))
        if not ahead.cancelled() and (error := ahead.exception()) is not None:
            log.info("read_ahead_failed", reason=str(error) or repr(error))

    async def next(self) -> Gathered:
        """Return the next batch; an empty one after a while of silence."""
        loop = asyncio.get_running_loop()
        if self._ahead is None:
            await asyncio.sleep(max(0.0, self._given_at + PACE_SECONDS - loop.time()))
            gathered = await self._gather()
        else:
            ahead, self._ahead = self._ahead, None
            gathered = await ahead
        self._given_at = loop.time()
        if gathered.pending and gathered.events:
            self._ahead = asyncio.ensure_future(self._gather())
        return gathered

    async def _gather(self) -> Gathered:
        """Read what there is; a few more only when the stream says that it has them."""
        batch = await anext(self._feed)
        events = list(batch.events)
        while batch.pending and batch.events and len(events) < self._batch_min:
            batch = await anext(self._feed)
            events += batch.events
        return Gathered(tuple(events), batch.pending)
