"""What the run's first event answers to a waiting submission."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from libs.events.base import PromptKey, Sealed
from libs.events.run import RunRefused
from libs.events.verdict import PromptRejected
from services.gateway.domain.story import Story

ANSWERS_MAX = 10_000


@dataclass(frozen=True)
class Accepted:
    """The prompt waits for a worker; `position` counts the owner's prompts ahead of it."""

    prompt_id: str
    position: int
    node_errors: Sealed | None = None


@dataclass(frozen=True)
class Declined:
    """The prompt was not accepted."""

    refused: RunRefused
    rejected: PromptRejected | None = None


Answer = Accepted | Declined


def answer_of(story: Story, position: int) -> Answer | None:
    """Return the answer that a story holds, if it holds one already."""
    if story.refused is not None:
        return Declined(story.refused, story.rejected)
    if story.queued is not None:
        return Accepted(story.prompt_id, position, story.node_errors)
    return None


@dataclass
class Answers:
    """Answers of late, for those who ask again, and those who still wait for one."""

    _given: OrderedDict[PromptKey, Answer] = field(default_factory=OrderedDict)
    _waiting: dict[PromptKey, list[asyncio.Future[Answer]]] = field(default_factory=dict)

    def give(self, key: PromptKey, answer: Answer) -> None:
        """Answer all who wait for `key`; the first answer stays."""
        if key in self._given:
            return
        self._given[key] = answer
        while len(self._given) > ANSWERS_MAX:
            self._given.popitem(last=False)
        for waiting in self._waiting.pop(key, []):
            if not waiting.done():
                waiting.set_result(answer)

    def known(self, key: PromptKey) -> Answer | None:
        """Return the answer if it was given."""
        return self._given.get(key)

    async def wait(self, key: PromptKey, seconds: float) -> Answer | None:
        """Return the answer as soon as it is given, None when it is not given in time."""
        if (answer := self._given.get(key)) is not None:
            return answer
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        line = self._waiting.setdefault(key, [])
        line.append(waiting)
        try:
            async with asyncio.timeout(seconds):
                return await waiting
        except TimeoutError:
            return None
        finally:
            line.remove(waiting) if waiting in line else None
            if not line and self._waiting.get(key) is line:
                del self._waiting[key]
