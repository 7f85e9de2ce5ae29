"""All open prompts at a glance: their stories, who waits, and who holds a lease."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from libs.events.asks import LeaseAnswer
from libs.events.base import Event, PromptKey, Unreadable
from libs.events.envelope import Cause, Recorded
from libs.events.prompt import PromptSubmitted
from libs.events.run import LeaseGranted, RunEvent, RunQueued
from libs.events.verdict import PromptValidated
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.matching import Waiting, WaitingRoom
from services.scheduler.domain.story import Story, evolve


@dataclass
class Board:
    """The fold of the whole stream; a prompt is dropped when its run is over.

    `granting` holds the runs whose lease is being written, which wait no more but have no
    lease yet. `holders` are the runs that each worker holds, its oldest lease first: more than
    one when two schedulers believed that they lead, and each granted it something.
    """

    fleet: Fleet
    stories: dict[PromptKey, Story] = field(default_factory=dict)
    room: WaitingRoom = field(default_factory=WaitingRoom)
    holders: dict[str, dict[PromptKey, None]] = field(default_factory=dict)
    causes: dict[PromptKey, Cause] = field(default_factory=dict)
    grants: dict[PromptKey, Recorded[Event]] = field(default_factory=dict)
    granting: set[PromptKey] = field(default_factory=set)
    number_seen: int = 0

    def apply(self, recorded: Recorded[Event]) -> tuple[PromptKey, ...]:
        """Take in one event; return the prompts about which something may have to be done."""
        slot = self.fleet.evolve(recorded.event)
        if slot:
            return self.leased
        if isinstance(recorded.event, Unreadable):
            self._step_over(recorded)
            return ()
        key = (recorded.tenant, recorded.event.correlation_id)
        story = self._story(key, recorded)
        if story is None:
            return ()
        if isinstance(recorded.event, RunQueued):
            self.number_seen = max(self.number_seen, recorded.event.number)
        if isinstance(recorded.event, LeaseGranted) and recorded.seq > story.run_seq:
            self.grants[key] = recorded
        self.causes[key] = recorded.cause()
        story = evolve(story, recorded.event, recorded.seq, recorded.time)
        self.stories[key] = story
        self.place(story)
        return (key,)

    def place(self, story: Story) -> None:
        """Bring the queue and the leases in line with the story."""
        key, run = story.key, story.run
        if run.phase == "queued" and key not in self.granting:
            self.room.add(_waiting(story))
        else:
            self.room.remove(key)
        holder = run.worker_id if story.executing else ""
        for worker_id in [who for who, held in self.holders.items() if key in held]:
            if worker_id != holder:
                self._take_from(worker_id, key)
        if holder:
            self.holders.setdefault(holder, {})[key] = None
        if run.over:
            self.drop(key)

    @property
    def leased(self) -> tuple[PromptKey, ...]:
        """Return the runs that some worker holds."""
        return tuple(key for held in self.holders.values() for key in held)

    def drop(self, key: PromptKey) -> None:
        """Forget a prompt."""
        self.stories.pop(key, None)
        self.causes.pop(key, None)
        self.grants.pop(key, None)

    def answer(self, key: PromptKey) -> LeaseAnswer:
        """Return the lease of the prompt with all that its worker needs."""
        story, granted = self.stories.get(key), self.grants.get(key)
        if story is None or granted is None or not isinstance(granted.event, LeaseGranted):
            return LeaseAnswer()
        if not isinstance(story.verdict, PromptValidated):
            return LeaseAnswer()
        return LeaseAnswer(
            tenant=story.tenant,
            lease=granted.event,
            submitted=story.submitted,
            validated=story.verdict,
            traceparent=granted.traceparent,
            causation_id=granted.event_id,
        )

    def _take_from(self, worker_id: str, key: PromptKey) -> None:
        held = self.holders[worker_id]
        del held[key]
        if not held:
            del self.holders[worker_id]

    def _step_over(self, recorded: Recorded[Event]) -> None:
        """Go on behind bytes on a run's own subject that nobody can read; they mean nothing."""
        kind, prompt_id = recorded.subject.split(".")[-2:]
        key = (recorded.tenant, prompt_id)
        story = self.stories.get(key)
        if kind == RunEvent.kind and story is not None and recorded.seq > story.run_seq:
            self.stories[key] = replace(story, run_seq=recorded.seq)

    def _story(self, key: PromptKey, recorded: Recorded[Event]) -> Story | None:
        """Return the prompt's story so far; only its submission opens one."""
        story = self.stories.get(key)
        if story is None and isinstance(recorded.event, PromptSubmitted):
            tenant, prompt_id = key
            return Story(prompt_id, tenant)
        return story


def _waiting(story: Story) -> Waiting:
    submitted, verdict = story.submitted, story.verdict
    if submitted is None or story.queued_at is None or not isinstance(verdict, PromptValidated):
        raise ValueError("a run is queued only after it was submitted and validated")
    return Waiting(
        prompt_id=story.prompt_id,
        tenant=story.tenant,
        tier=verdict.tier,
        number=story.run.number,
        since=story.queued_at,
        vram_mib=verdict.vram_mib,
        needs=tuple(f"{need.folder}/{need.name}" for need in verdict.needs),
        engines=verdict.engines,
        node_types=verdict.node_types,
        front=submitted.front,
        priority=submitted.priority,
    )
