"""A feed that is closed when its reader leaves it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from libs.bus.base import Batch, Bus


@asynccontextmanager
async def feed_from(
    bus: Bus, start_seq: int, batch_max: int = 500
) -> AsyncIterator[AsyncIterator[Batch]]:
    """Give the feed from a sequence on, and end it with the block."""
    feed = bus.feed(start_seq=start_seq, batch_max=batch_max)
    try:
        yield feed
    finally:
        if isinstance(feed, AsyncGenerator):
            await feed.aclose()
