"""What a client missed while it was away, from the open prompts in memory and from the archive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, cast

from libs.core.errors import Refused
from libs.events.base import Event
from libs.events.envelope import Recorded
from libs.events.prompt import PromptSubmitted
from services.gateway.archive import Archive
from services.gateway.domain import story as stories
from services.gateway.domain.frames import Frame
from services.gateway.domain.lifecycle import PLACE_MAX, Lifecycle, Placed, seq_at
from services.gateway.domain.story import Owner, Story
from services.gateway.http import whole_number
from services.gateway.live import Live
from services.gateway.rendering import Rendering, for_client

# Who was away for longer reads the history: that is one answer instead of thousands of frames.
PROMPTS_MAX: Final = 200

Told = tuple[Story, Sequence[Placed]]


@dataclass(frozen=True)
class Resuming:
    """Frames follow from the log, so that it does not matter which gateway told the first ones."""

    archive: Archive
    live: Live
    rendering: Rendering

    async def check(self, since: int) -> None:
        """Refuse a place that the log has not reached: it was another log's."""
        if seq_at(since) <= self.live.telling.heard_seq:
            return
        if seq_at(since) > (await self.live.bus.state()).last_seq:
            raise Refused(
                "since is ahead of this server's log: begin anew, without since",
                kind="since_ahead",
                field="since",
                received=since,
            )

    def open_of(self, owner: Owner, client_id: str) -> list[Told]:
        """Return the moments of a client's open prompts, as they stand now."""
        queue, telling = self.live.queue, self.live.telling
        mine = [*queue.running(owner), *queue.pending(owner)]
        return [
            (story, telling.moments(story))
            for story in mine
            if story.submitted.client_id == client_id
        ]

    async def missed(
        self, owner: Owner, client_id: str, known: Sequence[Told], after: int, upto: int
    ) -> list[Frame]:
        """Return the frames of a client between two places; `known` are its open prompts."""
        ids = await self.archive.ended_since(owner, client_id, seq_at(after), PROMPTS_MAX + 1)
        if len(ids) > PROMPTS_MAX:
            raise Refused(
                f"More than {PROMPTS_MAX} prompts have ended since: read the history, "
                "and begin anew without since",
                kind="since_too_old",
                status=410,
                field="since",
                limit=PROMPTS_MAX,
            )
        open_ids = {story.prompt_id for story, _ in known}
        over = await self.of_archive(owner[0], [one for one in ids if one not in open_ids])
        found: list[Frame] = []
        for story, moments in (*known, *over):
            found += for_client(story, await self.frames(story, moments, after, upto))
        return sorted(found, key=lambda frame: frame.seq)

    async def frames(
        self, story: Story, moments: Iterable[Placed], after: int, upto: int = PLACE_MAX
    ) -> list[Frame]:
        """Return the frames of a prompt between two places."""
        found = [
            frame
            for placed in moments
            if placed.place <= upto
            for frame in await self.rendering.frames(story.tenant, story.prompt_id, placed)
        ]
        return [frame for frame in found if after < frame.seq <= upto]

    async def of_archive(self, tenant: str, prompt_ids: Sequence[str]) -> list[Told]:
        """Return finished prompts with all their moments."""
        told = []
        for prompt_id in prompt_ids:
            events = await self.archive.story(tenant, prompt_id)
            if (one := _told(events)) is not None:
                told.append(one)
        return told


def since_of(text: str | None) -> int | None:
    """Return the place that a client names as its last; None if it names none."""
    if not text:
        return None
    place = whole_number(text)
    if place is None or not 0 <= place <= PLACE_MAX:
        raise Refused(
            "since must be the seq of a frame, a whole number from 0 on",
            kind="invalid_number",
            field="since",
            received=text[:100],
        )
    return place


def _told(events: Iterable[Recorded[Event]]) -> Told | None:
    """Fold the events of one prompt, up to its end."""
    story, life = None, Lifecycle()
    for recorded in events:
        if story is None:
            if isinstance(recorded.event, PromptSubmitted):
                story = stories.begin(cast("Recorded[PromptSubmitted]", recorded))
        elif story.ended is None:
            story = stories.evolve(story, recorded)
            life.hear(story, recorded)
    return (story, life.placed) if story is not None else None
