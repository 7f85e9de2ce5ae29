"""The queue as people see it: every open prompt, counted from acceptance to recorded end."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import cast

from libs.events.base import Event, PromptKey, PromptScoped
from libs.events.envelope import Recorded
from libs.events.prompt import PromptSubmitted
from libs.events.run import RunQueued, RunRefused
from services.gateway.domain.story import Owner, Story, begin, evolve

UNANSWERED_MAX = 50_000


class Queue:
    """Stories of open prompts; one that waits for its verdict is known but not yet counted."""

    def __init__(self) -> None:
        self._stories: dict[PromptKey, Story] = {}
        self._unanswered: OrderedDict[PromptKey, None] = OrderedDict()
        self._accepted: dict[Owner, dict[PromptKey, int]] = {}
        self._depth: dict[str, int] = {}

    def get(self, tenant: str, prompt_id: str) -> Story | None:
        """Return the story of an open prompt."""
        return self._stories.get((tenant, prompt_id))

    def remaining(self, owner: Owner) -> int:
        """Return how many accepted prompts of `owner` have no recorded end."""
        return len(self._accepted.get(owner, ()))

    def depth(self, tenant: str) -> int:
        """Return how many prompts of a tenant are open, answered or not."""
        return self._depth.get(tenant, 0)

    def position(self, story: Story) -> int:
        """Return how many of its owner's prompts are to be executed before this one."""
        return sum(
            1
            for other in self._of(story.owner)
            if not other.running and other.number < story.number
        )

    def accepted_at(self, tenant: str, prompt_id: str) -> int:
        """Return the position that the prompt had when it was accepted."""
        story = self._stories.get((tenant, prompt_id))
        return self._accepted[story.owner][tenant, prompt_id] if story and story.queued else 0

    def running(self, owner: Owner) -> list[Story]:
        """Return the owner's prompts on workers, the longest running first."""
        stories = [story for story in self._of(owner) if story.running]
        return sorted(stories, key=lambda story: (story.leased_at, story.number))

    def pending(self, owner: Owner) -> list[Story]:
        """Return the owner's prompts that wait for a worker, the next one first."""
        stories = [story for story in self._of(owner) if not story.running]
        return sorted(stories, key=lambda story: story.number)

    def __len__(self) -> int:
        return len(self._stories)

    def apply(self, recorded: Recorded[Event]) -> Story | None:
        """Take one event in; return the story that it belongs to, as it is now."""
        event = recorded.event
        if not isinstance(event, PromptScoped):
            return None
        key = (recorded.tenant, event.prompt_id)
        story = self._stories.get(key)
        if story is None:
            return self._begin(key, recorded) if isinstance(event, PromptSubmitted) else None
        after = evolve(story, recorded)
        self._stories[key] = after
        if isinstance(event, RunQueued) and story.queued is None:
            self._unanswered.pop(key, None)
            position = self.position(after)
            self._accepted.setdefault(after.owner, {})[key] = position
        elif isinstance(event, RunRefused):
            self.leave(after)
        return after

    def leave(self, story: Story) -> None:
        """Forget a prompt: it was refused, or its end is recorded."""
        key = (story.tenant, story.prompt_id)
        if self._stories.pop(key, None) is None:
            return
        self._unanswered.pop(key, None)
        self._depth[story.tenant] -= 1
        if not self._depth[story.tenant]:
            del self._depth[story.tenant]
        mine = self._accepted.get(story.owner, {})
        mine.pop(key, None)
        if not mine:
            self._accepted.pop(story.owner, None)

    def _begin(self, key: PromptKey, recorded: Recorded[Event]) -> Story:
        story = begin(cast("Recorded[PromptSubmitted]", recorded))
        self._stories[key] = story
        self._depth[story.tenant] = self._depth.get(story.tenant, 0) + 1
        self._unanswered[key] = None
        if len(self._unanswered) > UNANSWERED_MAX:
            self.leave(self._stories[next(iter(self._unanswered))])
        return story

    def _of(self, owner: Owner) -> Iterator[Story]:
        keys: Iterable[PromptKey] = self._accepted.get(owner, ())
        return (self._stories[key] for key in keys)
