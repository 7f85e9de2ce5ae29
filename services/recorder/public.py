"""Publishes what is archived to the public stream, from a place kept beside the archive."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.bus.base import Bus
from libs.events.base import Event, PromptKey, PromptScoped
from libs.events.envelope import Recorded, read
from libs.store.engine import writing
from libs.store.readmodels import checkpoint, event_log, outputs, prompts
from libs.store.readmodels.checkpoint import PUBLIC, Checkpoint
from libs.store.readmodels.event_log import EVENTS, ArchivedEvent
from libs.store.readmodels.outputs import OutputRow
from libs.store.readmodels.prompts import PromptRow
from libs.store.text import without_nul
from services.recorder.domain.public import PUBLIC_EVENTS, public_event

PUBLISHER_LOCK: Final = 0x48414E5A4F03
TRY_LOCK: Final = text("SELECT pg_try_advisory_xact_lock(:lock)")
TYPES: Final = tuple(event.__name__ for event in PUBLIC_EVENTS)
PAGE: Final = 200
# Without anything to publish the place is written down only now and then.
UNSAVED_MAX: Final = 5000


@dataclass
class Publisher:
    """Reads the archive behind the archiver, so that a crash between the two loses nothing.

    What was published just before a crash is published again under the same id.
    """

    bus: Bus
    database: AsyncEngine
    _seen: int = 0

    async def catch_up(self) -> None:
        """Publish everything that is archived and not yet published."""
        while await self._turn():
            pass

    async def _turn(self) -> bool:
        """Publish a page; return whether there may be another."""
        async with writing(self.database) as connection:
            if not await connection.scalar(TRY_LOCK, {"lock": PUBLISHER_LOCK}):
                return False  # Another recorder is at it, and hears the same news.
            place = await checkpoint.load(connection, PUBLIC)
            saved = place.seq if place else 0
            archived = await checkpoint.covered_seq(connection)
            rows = await event_log.page(
                connection, after=max(saved, self._seen), limit=PAGE, types=TYPES
            )
            await self._publish(connection, rows)
            more = len(rows) == PAGE
            self._seen = rows[-1].seq if more else max(archived, self._seen)
            if rows or self._seen - saved > UNSAVED_MAX:
                await checkpoint.save(
                    connection,
                    Checkpoint(PUBLIC, EVENTS, self._seen, b"", ""),
                )
        return more

    async def _publish(self, connection: AsyncConnection, rows: Sequence[ArchivedEvent]) -> None:
        """Publish a page: prompts side by side, the events of one prompt after each other."""
        stories: defaultdict[PromptKey, list[Recorded[Event]]] = defaultdict(list)
        for row in rows:
            recorded = read(row.payload, seq=row.seq, subject=row.subject)
            if row.event_id is not None and isinstance(recorded.event, PromptScoped):
                prompt_id = without_nul(recorded.event.prompt_id)
                stories[recorded.tenant, prompt_id].append(recorded)
        ids: defaultdict[str, list[str]] = defaultdict(list)
        for tenant, prompt_id in stories:
            ids[tenant].append(prompt_id)
        for tenant, prompt_ids in ids.items():
            found = await prompts.many(connection, tenant, prompt_ids)
            made = await outputs.of_prompts(connection, tenant, prompt_ids)
            told = (
                self._tell(stories[tenant, prompt.prompt_id], prompt, made[prompt.prompt_id])
                for prompt in found
            )
            for failure in await asyncio.gather(*told, return_exceptions=True):
                if failure is not None:
                    raise failure

    async def _tell(
        self, story: Sequence[Recorded[Event]], prompt: PromptRow, made: Sequence[OutputRow]
    ) -> None:
        for recorded in story:
            public = public_event(recorded, prompt, made)
            if public is not None:
                await self.bus.publish_public(
                    recorded.tenant, public.kind, recorded.event_id, public.body
                )
