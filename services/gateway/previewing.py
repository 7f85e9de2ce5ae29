"""Glances at unfinished pictures, passed on to the one client that asked for them and may see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from libs.bus.base import Bus
from libs.events.signals import Preview, preview_subject
from services.gateway.domain.frames import preview_plain, preview_with_place
from services.gateway.domain.story import Story
from services.gateway.hub import Hub

TENANT_TOKEN = 2

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Previewing:
    """`may_see` says whether a tenant sees pictures before moderation has looked at them."""

    bus: Bus
    hub: Hub
    story_of: Callable[[str, str], Story | None]
    may_see: Callable[[str], bool]

    async def hear(self) -> None:
        """Pass previews on for ever; those of a past attempt, or not asked for, are dropped."""
        async for signal in self.bus.signals(preview_subject("*", "*")):
            try:
                preview = Preview.decode(signal.data)
            except (ValueError, TypeError):
                log.warning("bad_signal", subject=signal.subject)
                continue
            tenant = signal.subject.split(".")[TENANT_TOKEN]
            story = self.story_of(tenant, preview.prompt_id)
            if story is None or story.attempt != preview.attempt or not self.may_see(tenant):
                continue
            submitted = story.submitted
            if submitted.wants_previews:
                self.hub.show(
                    story.owner,
                    submitted.client_id,
                    plain=preview_plain(preview),
                    placed=preview_with_place(preview),
                )
