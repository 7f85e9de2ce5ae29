"""From moments of a prompt to their frames; what is sealed in them is opened here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace

import structlog

from libs.core.errors import StudioError
from libs.core.jsonvalue import JsonObject
from libs.events.base import Sealed
from libs.sealed.base import Vault
from services.gateway.domain import frames
from services.gateway.domain.ending import last_frames
from services.gateway.domain.frames import Frame, output_of
from services.gateway.domain.lifecycle import Began, Over, Placed, Shown, Withheld
from services.gateway.domain.story import Story

UNSEAL_SECONDS = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Rendering:
    """`vault` opens what nodes show besides files, and the accounts of failures."""

    vault: Vault

    async def frames(self, tenant: str, prompt_id: str, placed: Placed) -> list[Frame]:
        """Return the frames of a moment."""
        return frames_of(prompt_id, placed, await self.opened(tenant, placed))

    async def opened(self, tenant: str, placed: Placed) -> JsonObject:
        """Open what is sealed in a moment; what cannot be read is told without its content."""
        sealed = sealed_in(placed)
        if sealed is None:
            return {}
        try:
            async with asyncio.timeout(UNSEAL_SECONDS):
                value = await self.vault.open(tenant, sealed)
        except (StudioError, TimeoutError) as error:
            log.warning("not_unsealed", tenant=tenant, error=repr(error))
            return {}
        return value if isinstance(value, dict) else {}


def sealed_in(placed: Placed) -> Sealed | None:
    """Return what has to be opened before the moment can be told."""
    match placed.moment:
        case Shown(event):
            return event.ui
        case Withheld(blocked):
            return blocked.detail
        case Over(story):
            return story.failed.detail if story.failed else None
    return None


def frames_of(
    prompt_id: str, placed: Placed, opened: JsonObject, at_work: str | None = None
) -> list[Frame]:
    """Return the frames of a moment, each with its place."""
    match placed.moment:
        case Began(event, time_ms):
            told = [
                frames.execution_start(prompt_id, time_ms),
                frames.execution_cached(prompt_id, event.cached, time_ms),
            ]
        case Shown(event, released):
            output = output_of(event, released, opened)
            told = [frames.executed(prompt_id, event, output)] if output else []
        case Withheld(blocked, time_ms):
            told = [frames.node_blocked(prompt_id, blocked, opened, time_ms)]
        case Over(story):
            ended_ms = int(story.ended_at.timestamp() * 1000) if story.ended_at else 0
            told = last_frames(story, ended_ms, opened, at_work)
            told.append(frames.executing(prompt_id, None))
    return [replace(frame, seq=placed.place + turn) for turn, frame in enumerate(told)]


def for_client(story: Story, told: Iterable[Frame]) -> list[Frame]:
    """Return what a socket is told of an end.

    Of a prompt that never came to a worker it hears nothing but that something went wrong:
    ComfyUI takes such prompts out of the queue without a word.
    """
    return [frame for frame in told if story.attempt or frame.type == "execution_error"]
