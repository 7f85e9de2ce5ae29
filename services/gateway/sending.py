"""Released pictures as binary messages, for clients that never fetch a file."""

from __future__ import annotations

import asyncio
import struct
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from libs.core.errors import StudioError
from libs.events.base import PromptKey
from libs.events.execution import NodeFinished
from libs.events.moderation import OutputReleased
from services.gateway.domain.frames import executing
from services.gateway.domain.story import Story
from services.gateway.hub import Hub

# The node type whose pictures are sent; what is sent is what `/view` would serve.
SENT: Final = "SaveImageWebsocket"
PICTURE_EVENT: Final = 1
PNG_FORMAT: Final = 2

log = structlog.get_logger(__name__)


@dataclass
class Sending:
    """Which nodes' pictures are sent; `read` returns an artifact's bytes."""

    hub: Hub
    read: Callable[[str], Awaitable[bytes]]
    _nodes: dict[PromptKey, set[str]] = field(default_factory=lambda: defaultdict(set))
    _last: dict[PromptKey, asyncio.Task[None]] = field(default_factory=dict)

    def hear(self, key: PromptKey, event: NodeFinished) -> None:
        """Hear of a node that finished, before its files are released."""
        if event.node_type == SENT:
            self._nodes[key].add(event.node_id)

    def send(
        self, key: PromptKey, story: Story, event: OutputReleased
    ) -> asyncio.Task[None] | None:
        """Begin to send a released picture, behind those that are being sent; None if it is not."""
        if event.node_id not in self._nodes.get(key, ()):
            return None
        task = asyncio.ensure_future(self._send(story, event, self._last.get(key)))
        self._last[key] = task
        return task

    def forget(self, key: PromptKey) -> None:
        """Forget a prompt that is over."""
        self._nodes.pop(key, None)
        self._last.pop(key, None)

    async def _send(
        self, story: Story, event: OutputReleased, before: asyncio.Task[None] | None
    ) -> None:
        try:
            data = await self.read(event.artifact)
        except StudioError as error:
            log.warning("picture_not_sent", prompt_id=story.prompt_id, error=error.message)
            return
        if before is not None:
            await asyncio.wait({before})
        # Clients take a picture to be of the node that they were told is at work.
        now = executing(story.prompt_id, event.node_id)
        client_id = story.submitted.client_id
        self.hub.tell(story.owner, client_id, [now])
        message = struct.pack(">II", PICTURE_EVENT, PNG_FORMAT) + data
        self.hub.send(story.owner, client_id, message)
