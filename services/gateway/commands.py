"""Commands on prompts that exist: cancel open ones, take finished ones off the history."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass

from libs.decider import Journal, transact
from libs.events.base import subject
from libs.events.envelope import Cause
from libs.events.prompt import PromptEvent
from services.gateway.archive import Archive
from services.gateway.auth import Principal
from services.gateway.domain import prompt as prompts
from services.gateway.domain.prompt import Cancel, Prompt, Remove
from services.gateway.domain.story import Story
from services.gateway.live import Live
from services.gateway.settings import GatewaySettings

AT_ONCE = 16
PAGE_ITEMS = 200


@dataclass(frozen=True)
class Commands:
    """Every dependency is a field; a caller only reaches prompts of its own."""

    journal: Journal
    archive: Archive
    live: Live
    settings: GatewaySettings

    async def interrupt(self, who: Principal, prompt_id: str) -> None:
        """Stop one running prompt of the caller, or without an id all of them."""
        running = self.live.queue.running(who.owner)
        chosen = [story for story in running if prompt_id in ("", story.prompt_id)]
        await self._cancel(who, chosen)

    async def cancel_pending(self, who: Principal, ids: Iterable[str], *, every: bool) -> None:
        """Take prompts out of the line, and wait a moment until they are out of it."""
        wanted = set(ids)
        pending = self.live.queue.pending(who.owner)
        chosen = [story for story in pending if every or story.prompt_id in wanted]
        await self._cancel(who, chosen)
        keys = [(story.tenant, story.prompt_id) for story in chosen]
        await self.live.gone(keys, self.settings.settle_seconds)

    async def cancel(self, who: Principal, prompt_id: str) -> bool:
        """Cancel one prompt wherever it is; False when it is not open or not the caller's."""
        story = self.live.queue.get(who.tenant, prompt_id)
        if story is None or story.owner != who.owner or story.ended is not None:
            return False
        await self._cancel(who, [story])
        return True

    async def remove(self, who: Principal, ids: Iterable[str], *, every: bool) -> None:
        """Take prompts off the history, and wait until it no longer shows them."""
        if every:
            await self._remove_all(who)
        chosen = [
            prompt_id
            for prompt_id in dict.fromkeys(ids)
            if await self.archive.history_ids(who.owner, 1, prompt_id=prompt_id)
        ]
        await self._remove(who, chosen)

    async def _remove_all(self, who: Principal) -> None:
        for _ in range(self.settings.history_items_max // PAGE_ITEMS + 1):
            page = await self.archive.history_ids(who.owner, PAGE_ITEMS)
            if not page or not await self._remove(who, page):
                return

    async def _remove(self, who: Principal, ids: Sequence[str]) -> bool:
        """Remove, and say whether the recorder has followed in time."""
        calls = [self._transact(who, Remove(prompt_id, who.user_id)) for prompt_id in ids]
        newest = max(await self._each(calls), default=0)
        return await self.live.recorded(newest, self.settings.settle_seconds)

    async def _cancel(self, who: Principal, stories: Sequence[Story]) -> None:
        """Ask for the end of those that have not ended already."""
        calls = [
            self._transact(who, Cancel(story.prompt_id, who.user_id))
            for story in stories
            if story.ended is None
        ]
        await self._each(calls)

    async def _transact(self, who: Principal, command: Cancel | Remove) -> int:
        async def cold(_subject: str) -> tuple[Prompt, int]:
            return await self.archive.submitted_before(who.tenant, command.prompt_id), 0

        written = await transact(
            self.journal,
            prompts,
            subject(who.tenant, PromptEvent.kind, command.prompt_id),
            command,
            Cause(correlation_id=command.prompt_id),
            cold=cold if isinstance(command, Remove) else None,
        )
        return written[-1].seq if written else 0

    async def _each(self, calls: Sequence[Awaitable[int]]) -> list[int]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(call: Awaitable[int]) -> int:
            async with gate:
                return await call

        return list(await asyncio.gather(*(one(call) for call in calls)))
