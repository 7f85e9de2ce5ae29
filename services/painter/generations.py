"""A caller's generations: read out of Studio, joined with what Painter keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from libs.core.errors import NotFound
from libs.core.ids import is_canonical_uuid
from libs.core.jsonvalue import Json, JsonObject
from services.painter.caller import Caller
from services.painter.domain.progress import Progress
from services.painter.domain.telling import Seen, seen_ended, seen_open
from services.painter.keeping import Keeping, Owner
from services.painter.knowing import Knowing
from services.painter.studio import Studio
from services.painter.watching import News, Watching

CHUNK_ITEMS: Final = 50
# A search looks at so many prompts at most before it hands out a page.
SCANNED_MAX: Final = 1_000
LOOK_SECONDS: Final = 2.0
# Between its end and its row in the history a prompt may be in neither.
MISSING_TRIES: Final = 3
MISSING_PAUSE_SECONDS: Final = 0.15


@dataclass(frozen=True)
class Wanted:
    """Which generations a page is to hold."""

    limit: int
    before: str | None = None
    search: str = ""
    favourites: bool = False


@dataclass(frozen=True)
class Page:
    """Generations, newest first, and where the next page begins."""

    found: tuple[Seen, ...]
    next: str | None


@dataclass(frozen=True)
class Generations:
    """Every dependency is a field."""

    studio: Studio
    keeping: Keeping
    knowing: Knowing
    watching: Watching
    shows_previews: Callable[[str], bool]

    async def one(self, caller: Caller, generation_id: str) -> Seen:
        """Return a generation of the caller's; NotFound for everything else."""
        found = await self._one(caller, generation_id)
        owner = (await self.knowing.caller(caller)).owner
        liked = await self.keeping.favourites(owner, [generation_id])
        return replace(found, favourite=bool(liked))

    async def _one(self, caller: Caller, generation_id: str) -> Seen:
        if not is_canonical_uuid(generation_id):
            raise _missing()
        for _ in range(MISSING_TRIES):
            job = await self.studio.job(caller, generation_id)
            if job["status"] in ("pending", "in_progress"):
                return await self._open_one(caller, generation_id, job)
            entry = await self.studio.entry(caller, generation_id)
            if entry is not None:
                found = seen_ended(generation_id, entry)
                if found is None:
                    raise _missing()
                return found
            await asyncio.sleep(MISSING_PAUSE_SECONDS)
        raise _missing()

    async def _open_one(self, caller: Caller, generation_id: str, job: JsonObject) -> Seen:
        workflow = job.get("workflow")
        extra = workflow.get("extra_data") if isinstance(workflow, dict) else None
        running = job["status"] == "in_progress"
        place = None if running else await self.studio.place(caller, generation_id)
        found = seen_open(generation_id, extra, running=running, place=place)
        if found is None:
            raise _missing()
        return found

    async def workflow(self, caller: Caller, generation_id: str) -> Json:
        """Return the workflow of a generation, as it was executed."""
        await self._one(caller, generation_id)
        workflow = (await self.studio.job(caller, generation_id)).get("workflow")
        return workflow.get("prompt") if isinstance(workflow, dict) else None

    async def page(self, caller: Caller, wanted: Wanted) -> Page:
        """Return some generations, newest first."""
        owner = (await self.knowing.caller(caller)).owner
        if wanted.favourites:
            return await self._favourites(caller, owner, wanted)
        found: list[Seen] = [] if wanted.before else await self._open(caller, wanted)
        before, scanned = wanted.before, 0
        while len(found) < wanted.limit and scanned < SCANNED_MAX:
            chunk = await self.studio.ended_ones(caller, CHUNK_ITEMS, before)
            for prompt_id, entry in chunk:
                before, scanned = prompt_id, scanned + 1
                one = seen_ended(prompt_id, entry)
                if one is not None and _matches(one, wanted.search):
                    found.append(one)
                    if len(found) >= wanted.limit:
                        break
            else:
                if len(chunk) < CHUNK_ITEMS:
                    before = None
                    break
        return Page(tuple(await self._liked(owner, found)), before)

    async def _open(self, caller: Caller, wanted: Wanted) -> list[Seen]:
        found = [
            seen_open(prompt_id, extra, running=place is None, place=place)
            for prompt_id, extra, place in await self.studio.open_ones(caller)
        ]
        mine = [one for one in found if one is not None and _matches(one, wanted.search)]
        return sorted(mine, key=lambda one: one.created, reverse=True)

    async def _favourites(self, caller: Caller, owner: Owner, wanted: Wanted) -> Page:
        ids = await self.keeping.all_favourites(owner)
        start = ids.index(wanted.before) + 1 if wanted.before in ids else 0
        found: list[Seen] = []
        last = None
        for generation_id in ids[start:]:
            last = generation_id
            one = await self._one_if_there(caller, generation_id)
            if one is not None and _matches(one, wanted.search):
                found.append(replace(one, favourite=True))
            if len(found) >= wanted.limit:
                break
        more = last is not None and last != ids[-1]
        return Page(tuple(found), last if more else None)

    async def _one_if_there(self, caller: Caller, generation_id: str) -> Seen | None:
        try:
            return await self._one(caller, generation_id)
        except NotFound:
            return None

    async def _liked(self, owner: Owner, found: Sequence[Seen]) -> list[Seen]:
        liked = await self.keeping.favourites(owner, [one.prompt_id for one in found])
        return [replace(one, favourite=one.prompt_id in liked) for one in found]

    async def remove(self, caller: Caller, generation_id: str) -> None:
        """Take a generation away; an open one is cancelled first."""
        found = await self._one(caller, generation_id)
        if found.is_open:
            await self.studio.post(caller, f"/api/jobs/{generation_id}/cancel", {})
        await self.studio.post(caller, "/api/history", {"delete": [generation_id]})
        owner = (await self.knowing.caller(caller)).owner
        await self.keeping.favour(owner, generation_id, favourite=False)

    async def cancel(self, caller: Caller, generation_id: str) -> Seen:
        """Cancel a generation; one that has ended stays as it is."""
        before = await self.one(caller, generation_id)
        if not before.is_open:
            return before
        await self.studio.post(caller, f"/api/jobs/{generation_id}/cancel", {})
        try:
            return await self.one(caller, generation_id)
        except NotFound:
            # Whoever leaves the queue before a worker came leaves no history.
            return replace(before, status="cancelled", place=None)

    async def follow(
        self, caller: Caller, first: Seen, look_seconds: float = LOOK_SECONDS
    ) -> AsyncIterator[tuple[Seen, News | None, Progress]]:
        """Yield a generation now, and on every news of it, until it has ended."""
        found = first
        images = len(first.record.images)
        tenant = (await self.knowing.caller(caller)).owner.tenant
        previews = self.shows_previews(tenant)
        async with self.watching.following(
            caller, first.prompt_id, images, previews=previews
        ) as told:
            listener, progress = told
            yield found, None, progress
            while found.is_open:
                news = await listener.next(look_seconds)
                if news is not None and news.kind != "changed":
                    yield found, news, progress
                    continue
                try:
                    found = await self.one(caller, first.prompt_id)
                except NotFound:
                    found = replace(found, status="cancelled", place=None)
                yield found, news, progress

    async def settled(self, caller: Caller, first: Seen, seconds: float) -> Seen:
        """Return a generation once it has ended, or as it is after so long."""
        found = first
        try:
            async with asyncio.timeout(seconds):
                async for one, _, _ in self.follow(caller, first):
                    found = one
        except TimeoutError:
            return found
        return found


def _matches(one: Seen, search: str) -> bool:
    words = str(one.record.settings.get("prompt", "")).casefold()
    return all(word in words for word in search.casefold().split())


def _missing() -> NotFound:
    return NotFound("There is no such generation.", field="generation_id")
