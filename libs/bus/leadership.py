"""Roles with one holder, and counters: small values that are compared before they are set."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from libs.bus.connection import Connection
from libs.bus.identity import new_event_id
from libs.bus.reads import last_of
from libs.bus.subjects import safe_token
from libs.bus.writer import Draft, Write, Writer
from libs.core.errors import Conflict, Unavailable

LEADERS_STREAM = "KV_leaders"
COUNTERS_STREAM = "KV_counters"
OPERATION = "KV-Operation"
CLAIM_PATIENCE_SECONDS = 3.0
COUNT_TRIES_MAX = 200


class Leadership:
    """Claims in a bucket whose entries lapse by themselves."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._writer = Writer(connection)

    async def claim(self, role: str, holder: str) -> int | None:
        """Try to become the one holder of `role`."""
        last = await last_of(
            self._connection,
            LEADERS_STREAM,
            _leader(role),
            patience_seconds=CLAIM_PATIENCE_SECONDS,
        )
        if last is not None and OPERATION not in last.headers:
            return None
        return await self._put(role, holder, last.seq if last else 0)

    async def renew(self, role: str, holder: str, revision: int) -> int | None:
        """Keep `role` if it is still ours at `revision`."""
        return await self._put(role, holder, revision)

    async def resign(self, role: str, revision: int) -> None:
        """Give `role` up; whoever has it by now keeps it."""
        await self._put(role, "", revision, {OPERATION: "DEL"})

    async def _put(
        self, role: str, holder: str, expected: int, headers: dict[str, str] | None = None
    ) -> int | None:
        draft = Draft(new_event_id(), holder.encode(), headers or {})
        write = Write(LEADERS_STREAM, _leader(role), [draft], expected, CLAIM_PATIENCE_SECONDS)
        try:
            return (await self._writer.write(write))[-1]
        except Conflict:
            return None


class Counters:
    """Numbers that are handed out once each; a number may be lost, never given twice."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._writer = Writer(connection)
        # Takers of one process queue up here instead of losing races against each other.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def count(self, counter: str, amount: int) -> int:
        """Take the next `amount` numbers; return the first."""
        subject = f"$KV.counters.{safe_token(counter)}"
        async with self._turns[counter]:
            for _ in range(COUNT_TRIES_MAX):
                last = await last_of(self._connection, COUNTERS_STREAM, subject)
                taken = int(last.data) if last else 0
                draft = Draft(new_event_id(), str(taken + amount).encode())
                expected = last.seq if last else 0
                try:
                    await self._writer.write(Write(COUNTERS_STREAM, subject, [draft], expected))
                except Conflict:
                    continue
                return taken + 1
        raise Unavailable("the counter moved at every try", counter=counter, tries=COUNT_TRIES_MAX)


def _leader(role: str) -> str:
    return f"$KV.leaders.{safe_token(role)}"
