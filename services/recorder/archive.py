"""The archive's one transaction: event log, read models and checkpoint, or none of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.core.errors import Unavailable
from libs.events.base import Event
from libs.events.envelope import Recorded
from libs.store.engine import reading, writing
from libs.store.readmodels import checkpoint, event_log
from libs.store.readmodels.checkpoint import ARCHIVE, Checkpoint
from libs.store.readmodels.event_log import EVENT_LOG, EVENTS
from libs.store.text import without_nul
from services.recorder.applying import Skipped, apply, apply_carefully, is_poison
from services.recorder.domain.chain import GENESIS, extend
from services.recorder.domain.rows import row_of

ARCHIVER_LOCK: Final = 0x48414E5A4F02
LOCK: Final = text("SELECT pg_advisory_xact_lock(:lock)")


@dataclass(frozen=True)
class Written:
    """What one transaction did: up to where, how much was new, what no read model took."""

    seq: int
    archived: int
    skipped: tuple[Skipped, ...] = ()


class Gap(Unavailable):
    """The batch does not follow on the archive; the stream must be read from elsewhere."""


@dataclass(frozen=True)
class Archive:
    """Writes batches of the stream to PostgreSQL; any number of archivers may try at once."""

    database: AsyncEngine
    now: Callable[[], datetime]

    async def place(self) -> Checkpoint | None:
        """Return how far the archive has come."""
        async with reading(self.database) as connection:
            return await checkpoint.load(connection, ARCHIVE)

    async def write(self, events: Sequence[Recorded[Event]], stream_created: str) -> Written:
        """Archive what is new of consecutive `events`; what is archived already is left alone."""
        try:
            return await self._write(events, stream_created, careful=False)
        except Exception as error:
            if not is_poison(error):
                raise
        # One of the events lies on the stream twice, or no read model can take it. Looking for
        # such each time would cost too much; they come once in a blue moon.
        return await self._write(events, stream_created, careful=True)

    async def _write(
        self, events: Sequence[Recorded[Event]], stream_created: str, *, careful: bool
    ) -> Written:
        async with writing(self.database) as connection:
            await connection.execute(LOCK, {"lock": ARCHIVER_LOCK})
            place = await checkpoint.load(connection, ARCHIVE)
            seq = place.seq if place else 0
            new = [recorded for recorded in events if recorded.seq > seq]
            if not new:
                return Written(seq, 0)
            if new[0].seq != seq + 1:
                raise Gap("the stream goes on behind a gap", archived=seq, next=new[0].seq)
            known = await _archived_ids(connection, new) if careful else frozenset[str]()
            firsts = _first_seqs(new, known)
            last_hash = await self._log(connection, new, firsts, place)
            originals = [recorded for recorded in new if _is_first(recorded, firsts)]
            skipped = await (apply_carefully if careful else apply)(connection, originals)
            await checkpoint.save(
                connection, Checkpoint(ARCHIVE, EVENTS, new[-1].seq, last_hash, stream_created)
            )
        return Written(new[-1].seq, len(new), tuple(skipped))

    async def _log(
        self,
        connection: AsyncConnection,
        new: Sequence[Recorded[Event]],
        firsts: dict[str, int],
        place: Checkpoint | None,
    ) -> bytes:
        hashes = extend(place.hash if place else GENESIS, new)
        moment = self.now()
        rows = [
            row_of(recorded, is_copy=not _is_first(recorded, firsts), moment=moment, hash=link_hash)
            for recorded, link_hash in zip(new, hashes, strict=True)
        ]
        await event_log.add(connection, rows)
        return hashes[-1]


async def _archived_ids(
    connection: AsyncConnection, events: Sequence[Recorded[Event]]
) -> frozenset[str]:
    ids = [without_nul(recorded.event_id) for recorded in events]
    found = await connection.scalars(
        select(EVENT_LOG.c.event_id).where(EVENT_LOG.c.event_id.in_(ids))
    )
    return frozenset(event_id for event_id in found if event_id is not None)


def _first_seqs(events: Sequence[Recorded[Event]], known: frozenset[str]) -> dict[str, int]:
    """Return where each event lies first; a copy of it must change nothing a second time."""
    firsts: dict[str, int] = {}
    for recorded in events:
        if recorded.event_id not in known:
            firsts.setdefault(recorded.event_id, recorded.seq)
    return firsts


def _is_first(recorded: Recorded[Event], firsts: dict[str, int]) -> bool:
    return firsts.get(recorded.event_id) == recorded.seq
