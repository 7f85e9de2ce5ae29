"""A bell: many may wait for it, one rings it."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Bell:
    """Wakes everybody who waits now, and nobody who comes later."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake all who wait."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for the next ring, or for `seconds`."""
        event = self._event
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
