"""All open prompts at a glance: their stories, who waits, and who holds a lease."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from libs.events.asks import LeaseAnswer
from libs.events.base import Event, Unreadable
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
    stories: dict[str, Story] = field(default_factory=dict)
    room: WaitingRoom = field(default_factory=WaitingRoom)
    holders: dict[str, dict[str, None]] = field(default_factory=dict)
    causes: dict[str, Cause] = field(default_factory=dict)
    grants: dict[str, Recorded[Event]] = field(default_factory=dict)
    granting: set[str] = field(default_factory=set)
    number_seen: int = 0

    def apply(self, recorded: Recorded[Event]) -> tuple[str, ...]:
        """Take in one event; return the prompts about which something may have to be done."""
        slot = self.fleet.evolve(recorded.event)
        if slot:
            return self.leased
        if isinstance(recorded.event, Unreadable):
            self._step_over(recorded)
            return ()
        prompt_id = recorded.event.correlation_id
        story = self._story(prompt_id, recorded)
        if story is None:
            return ()
        if isinstance(recorded.event, RunQueued):
            self.number_seen = max(self.number_seen, recorded.event.number)
        if isinstance(recorded.event, LeaseGranted) and recorded.seq > story.run_seq:
            self.grants[prompt_id] = recorded
        self.causes[prompt_id] = recorded.cause()
        story = evolve(story, recorded.event, recorded.seq, recorded.time)
        self.stories[prompt_id] = story
        self.place(story)
        return (prompt_id,)

    def place(self, story: Story) -> None:
        """Bring the queue and the leases in line with the story."""
        prompt_id, run = story.prompt_id, story.run
        if run.phase == "queued" and prompt_id not in self.granting:
            self.room.add(_waiting(story))
        else:
            self.room.remove(prompt_id)
        holder = run.worker_id if story.executing else ""
        for worker_id in [who for who, held in self.holders.items() if prompt_id in held]:
            if worker_id != holder:
                self._take_from(worker_id, prompt_id)
        if holder:
            self.holders.setdefault(holder, {})[prompt_id] = None
        if run.over:
            self.drop(prompt_id)

    @property
    def leased(self) -> tuple[str, ...]:
        """Return the runs that some worker holds."""
        return tuple(prompt_id for held in self.holders.values() for prompt_id in held)

    def drop(self, prompt_id: str) -> None:
        """Forget a prompt."""
        self.stories.pop(prompt_id, None)
        self.causes.pop(prompt_id, None)
        self.grants.pop(prompt_id, None)

    def answer(self, prompt_id: str) -> LeaseAnswer:
        """Return the lease of the prompt with all that its worker needs."""
        story, granted = self.stories.get(prompt_id), self.grants.get(prompt_id)
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

    def _take_from(self, worker_id: str, prompt_id: str) -> None:
        held = self.holders[worker_id]
        del held[prompt_id]
        if not held:
            del self.holders[worker_id]

    def _step_over(self, recorded: Recorded[Event]) -> None:
        """Go on behind bytes on a run's own subject that nobody can read; they mean nothing."""
        kind, prompt_id = recorded.subject.split(".")[-2:]
        story = self.stories.get(prompt_id)
        if kind == RunEvent.kind and story is not None and recorded.seq > story.run_seq:
            self.stories[prompt_id] = replace(story, run_seq=recorded.seq)

    def _story(self, prompt_id: str, recorded: Recorded[Event]) -> Story | None:
        """Return the prompt's story so far; only its submission opens one."""
        story = self.stories.get(prompt_id)
        if story is None and isinstance(recorded.event, PromptSubmitted):
            return Story(prompt_id, recorded.tenant)
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
