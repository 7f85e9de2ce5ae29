"""Sessions of browsers, begun with an API key; wrong keys are slowed down."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from libs.store.engine import writing
from libs.store.readmodels import api_keys, sessions
from services.gateway.archive import Archive

WRONG_MAX: Final = 10
WINDOW_SECONDS: Final = 60.0
ADDRESSES_MAX: Final = 10_000


@dataclass
class Logins:
    """`clock` only grows, in seconds; wrong keys are counted per address in this process."""

    archive: Archive
    lasts_seconds: int
    now: Callable[[], datetime]
    clock: Callable[[], float]
    _wrong: OrderedDict[str, list[float]] = field(default_factory=OrderedDict)

    def locked_seconds(self, address: str) -> int:
        """Return how long an address has to wait, 0 if it may try."""
        since = self.clock() - WINDOW_SECONDS
        wrong = [moment for moment in self._wrong.get(address, ()) if moment > since]
        if len(wrong) < WRONG_MAX:
            return 0
        return max(1, math.ceil(wrong[-WRONG_MAX] - since))

    async def begin(self, key: str, address: str) -> str | None:
        """Return the token of a new session of a key; None for a key that is not valid.

        Every key is looked up by its digest, whatever its form: how long that takes tells
        nothing about how much of it was right.
        """
        async with writing(self.archive.database) as connection:
            row = await api_keys.find_by_digest(connection, api_keys.digest_of(key))
            if row is not None:
                now = self.now()
                expires = now + timedelta(seconds=self.lasts_seconds)
                return await sessions.begin(connection, row.key_id, now=now, expires=expires)
        self._count(address)
        return None

    async def end(self, token: str) -> None:
        """End a session."""
        if sessions.is_session(token):
            async with writing(self.archive.database) as connection:
                await sessions.end(connection, token)

    def _count(self, address: str) -> None:
        wrong = self._wrong.pop(address, [])
        self._wrong[address] = [*wrong[-WRONG_MAX:], self.clock()]
        while len(self._wrong) > ADDRESSES_MAX:
            self._wrong.popitem(last=False)
