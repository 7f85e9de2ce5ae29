"""What must hold of every story, looked for in what was written and shown and nowhere else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from libs.events.base import Event, PromptScoped
from libs.events.envelope import Recorded
from libs.events.execution import ExecutionEvent, ExecutionFinished, NodeFinished
from libs.events.ledger import (
    CreditsCaptured,
    CreditsGranted,
    CreditsHeld,
    CreditsRefused,
    CreditsReleased,
    PromptMoney,
)
from libs.events.moderation import (
    ClearanceEvent,
    OutputBlocked,
    OutputReleased,
)
from libs.events.prompt import PromptSubmitted, PromptWithdrawn
from libs.events.run import (
    LeaseExpired,
    LeaseGranted,
    RunEnded,
    RunEvent,
    RunQueued,
    RunRefused,
)
from libs.events.verdict import VerdictEvent
from tests.chaos.seeded.engine import picture
from tests.chaos.seeded.stores import Models

if TYPE_CHECKING:
    from tests.chaos.seeded.story import Told

E = TypeVar("E", bound=Event)

ATTEMPTS_MAX = 3
# How late the scheduler may hear of a withdrawal while everything goes wrong.
HEARING_SECONDS = 60.0
# What a gateway waits beyond its bound for an answer that is on its way.
ANSWER_SECONDS = 1.0


@dataclass(frozen=True)
class Breach:
    """An invariant that does not hold, and of what."""

    invariant: str
    prompt_id: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.prompt_id}: {self.what}"


@dataclass
class Life:
    """All events about one prompt."""

    tenant: str
    prompt_id: str
    events: list[Recorded[Event]] = field(default_factory=list)

    def all(self, kind: type[E]) -> list[Recorded[E]]:
        """Return the events of one class, or of one family."""
        return [one for one in self.events if isinstance(one.event, kind)]  # type: ignore[misc]

    def one(self, kind: type[E]) -> Recorded[E] | None:
        """Return the first event of a class."""
        found = self.all(kind)
        return found[0] if found else None


def lives(recorded: Iterable[Recorded[Event]]) -> list[Life]:
    """Return the events by prompt, in the order in which the prompts were submitted."""
    found: dict[tuple[str, str], Life] = {}
    for one in recorded:
        if isinstance(one.event, PromptScoped | PromptMoney):
            key = (one.tenant, one.event.prompt_id)
            found.setdefault(key, Life(*key)).events.append(one)
    return list(found.values())


def open_business(recorded: Iterable[Recorded[Event]]) -> list[str]:
    """Return the prompts that have no end yet, or money that is still set aside."""
    return [life.prompt_id for life in lives(recorded) if not _closed(life)]


def breaches(told: Told) -> list[Breach]:
    """Return everything that does not hold."""
    found: list[Breach] = []
    for life in lives(told.recorded):
        for check in (_one_end, _attempts, _answers_once, _money):
            found += [Breach(name, life.prompt_id, what) for name, what in check(life)]
        found += [Breach(name, life.prompt_id, what) for name, what in _outputs(life, told)]
    found += [Breach(name, who, what) for name, who, what in _house(told)]
    return found


Said = Iterator[tuple[str, str]]


def _closed(life: Life) -> bool:
    if life.one(PromptSubmitted) is None:
        return True
    if life.one(RunRefused) is None and life.one(RunEnded) is None:
        return False
    held = {one.seq for one in life.all(CreditsHeld)}
    return not held or bool(life.all(CreditsCaptured) or life.all(CreditsReleased))


def _one_end(life: Life) -> Said:
    """I1 and I7: one beginning, one end, and nothing of the run after it."""
    if len(life.all(PromptSubmitted)) != 1:
        yield "I1", f"submitted {len(life.all(PromptSubmitted))} times"
    begun = [*life.all(RunQueued), *life.all(RunRefused)]
    if len(begun) != 1:
        yield "I1", f"answered {len(begun)} times"
    yield from _accepted_in_time(life)
    ends = life.all(RunEnded)
    if life.one(RunQueued) and len(ends) != 1:
        yield "I1", f"an accepted prompt has {len(ends)} ends"
    if life.one(RunRefused) and len(life.all(RunEvent)) != 1:
        yield "I7", "a refused prompt went on"
    if ends and life.all(RunEvent)[-1].seq != ends[0].seq:
        yield "I7", "the run went on after its end"


def _accepted_in_time(life: Life) -> Said:
    """Nobody is accepted who was told 503 already and cannot ask again."""
    submitted, queued = life.one(PromptSubmitted), life.one(RunQueued)
    answer_by = submitted.event.answer_by if submitted else None
    if queued and answer_by and (queued.time - answer_by).total_seconds() > ANSWER_SECONDS:
        yield "answers", f"accepted at {queued.time}, told 503 at {answer_by}"


def _attempts(life: Life) -> Said:
    """One lease at a time, numbered without a gap, and never more than three."""
    holder: Recorded[LeaseGranted] | None = None
    granted = 0
    for one in life.all(RunEvent):
        match one.event:
            case LeaseGranted() as event:
                if holder is not None:
                    yield "I3", f"attempt {event.attempt} was leased while another was"
                if event.attempt != granted + 1 or event.attempt > ATTEMPTS_MAX:
                    yield "I3", f"attempt {event.attempt} came after {granted}"
                granted, holder = event.attempt, one  # type: ignore[assignment]
            case LeaseExpired() as event:
                if holder is None or holder.event.attempt != event.attempt:
                    yield "I3", f"attempt {event.attempt} expired without a lease"
                holder = None


def _answers_once(life: Life) -> Said:
    """Each service says its word about a prompt once."""
    for kind in (VerdictEvent, ClearanceEvent):
        if len(life.all(kind)) > 1:
            yield "I1", f"{kind.__name__} {len(life.all(kind))} times"
    released = [one.event for one in life.all(OutputReleased)]
    blocked = [one.event for one in life.all(OutputBlocked)]
    judged = [(event.attempt, event.node_id, event.index) for event in released]
    judged += [(event.attempt, event.node_id, event.index) for event in blocked]
    if len(set(judged)) != len(judged):
        yield "I3", "an output was judged twice"


def _money(life: Life) -> Said:
    """I2: set aside at most once, taken exactly once iff it succeeded, and never left lying."""
    held, refused = life.all(CreditsHeld), life.all(CreditsRefused)
    captured, released = life.all(CreditsCaptured), life.all(CreditsReleased)
    end = life.one(RunEnded)
    succeeded = end is not None and end.event.outcome == "succeeded"
    if len(held) + len(refused) > 1:
        yield "I2", f"set aside {len(held)} times and refused {len(refused)} times"
    if len(captured) != int(succeeded):
        yield "I2", f"captured {len(captured)} times, succeeded: {succeeded}"
    if captured and (end is None or captured[0].seq < end.seq):
        yield "I2", "captured before the run ended"
    if held and len(captured) + len(released) != 1:
        yield "I2", f"a hold was closed {len(captured) + len(released)} times"
    if captured and (not held or held[0].event.amount != captured[0].event.amount):
        yield "I2", "captured another amount than was set aside"
    if life.one(RunQueued) is not None and not held:
        yield "I2", "accepted without a hold"


def _outputs(life: Life, told: Told) -> Said:
    """I3: what is shown was made by the attempt that counts, whole, and nothing else is shown."""
    end = life.one(RunEnded)
    leases = {one.event.attempt: one.event.worker_id for one in life.all(LeaseGranted)}
    for one in life.all(ExecutionEvent):
        if leases.get(one.event.attempt) != one.event.worker_id:
            yield "I3", f"{one.event.worker_id} spoke for attempt {one.event.attempt}"
    shown = [row for row in told.models.visible if row.prompt_id == life.prompt_id]
    shown = [row for row in shown if row.tenant == life.tenant]
    blocked = {(one.event.node_id, one.event.index) for one in life.all(OutputBlocked)}
    for row in shown:
        yield from _one_output(row.artifact or "", row.sha256, life, told)
        if (row.node_id, row.index) in blocked:
            yield "I10", f"output {row.node_id}/{row.index} was blocked and is shown"
    if end is None or end.event.outcome != "succeeded":
        return
    attempt = end.event.attempt
    if attempt != max(leases, default=0):
        yield "I3", f"attempt {attempt} succeeded, attempt {max(leases, default=0)} was leased last"
    finished = [one for one in life.all(ExecutionFinished) if one.event.attempt == attempt]
    made = [one for one in life.all(NodeFinished) if one.event.attempt == attempt]
    count = sum(len(one.event.outputs) for one in made)
    if len(finished) != 1 or finished[0].event.outputs != count or finished[0].seq > end.seq:
        yield "I3", f"attempt {attempt} succeeded, but it did not finish with its {count} outputs"
    if len(shown) != count:
        yield "I3", f"{len(shown)} of {count} outputs are shown"


def _one_output(artifact: str, sha256: str, life: Life, told: Told) -> Said:
    end = life.one(RunEnded)
    kept = told.artifacts._kept.get(artifact)
    if kept is None or hashlib.sha256(kept[1]).hexdigest() != sha256:
        yield "I3", f"{artifact} is not what was released"
        return
    leases = {one.event.attempt: one.event.worker_id for one in life.all(LeaseGranted)}
    attempt = end.event.attempt if end else max(leases, default=0)
    own = picture(life.prompt_id, attempt, leases.get(attempt, ""), nude=False)
    if kept[1] != own:
        yield "I3", f"{artifact} was made by another attempt"


def _house(told: Told) -> Iterator[tuple[str, str, str]]:
    once, twice = Models(), Models()
    once.apply(told.recorded)
    twice.apply(told.recorded)
    twice.apply(told.recorded)
    if once != told.models:
        yield "I4", "house", "the read models are not the fold of the log"
    if once != twice:
        yield "I4", "house", "events that come again change the read models"
    yield from _balances(told)
    yield from _order(told)
    yield from _clients(told)
    for letter in told.letters:
        yield "dead letter", letter, "a message was given up, though every fault passed"
    for alarm in told.alarms:
        yield "unexpected", "house", alarm


def _balances(told: Told) -> Iterator[tuple[str, str, str]]:
    """Postings sum to zero; an account holds what came in less what was taken."""
    if sum(told.models.entries.values()):
        yield "I2", "house", "the postings do not sum to zero"
    money: dict[tuple[str, str], int] = {}
    for one in told.recorded:
        match one.event:
            case CreditsGranted() as event:
                key = (one.tenant, event.account)
                money[key] = money.get(key, 0) + event.amount
            case CreditsHeld() as event:
                key = (one.tenant, event.account)
                money[key] = money.get(key, 0) - event.amount
                if money[key] < 0 and event.account != "eve":
                    yield "I2", event.prompt_id, "more was set aside than there was"
            case CreditsReleased() as event:
                key = (one.tenant, event.account)
                money[key] = money.get(key, 0) + event.amount


def _order(told: Told) -> Iterator[tuple[str, str, str]]:
    """I8: inside a tenant and tier nobody is leased before an earlier number that could be."""
    queued: dict[str, Recorded[RunQueued]] = {}
    waiting: dict[str, Recorded[RunQueued]] = {}
    grants = {seq: tried for tried in told.tries for seq in tried.seqs}
    for one in told.recorded:
        match one.event:
            case RunQueued() as event:
                queued[event.prompt_id] = waiting[event.prompt_id] = one  # type: ignore[assignment]
            case LeaseGranted() as event:
                mine = waiting.pop(event.prompt_id, queued[event.prompt_id])
                for other in waiting.values():
                    earlier = other.event.number < mine.event.number
                    excused = not earlier or _excused(told, grants[one.seq].number, other)
                    if _same_line(mine, other) and not excused:
                        yield "I8", event.prompt_id, f"overtook {other.event.prompt_id}"
            case LeaseExpired() as event:
                waiting[event.prompt_id] = queued[event.prompt_id]
            case RunEnded() as event:
                waiting.pop(event.prompt_id, None)


def _same_line(one: Recorded[RunQueued], other: Recorded[RunQueued]) -> bool:
    return (one.tenant, one.event.tier) == (other.tenant, other.event.tier)


def _excused(told: Told, number: int, other: Recorded[RunQueued]) -> bool:
    """Say whether the one who was overtaken could not be seen to wait by whoever granted.

    That is so while a write about it is under way or of unknown outcome, and around a change
    of who leads.
    """
    about = [one for one in told.tries if one.subject == other.subject and one.number < number]
    unsettled = any(
        one.heard_before is None
        or one.heard_before > number
        or one.kinds[0] in ("LeaseGranted", "LeaseExpired")
        for one in about
    )
    leaders = {one.source for one in about} | {told.tries[number].source}
    return unsettled or len(leaders) > 1


def _clients(told: Told) -> Iterator[tuple[str, str, str]]:
    """Everybody who asks again is answered, always the same, and a 503 is a promise."""
    by_id = {(life.tenant, life.prompt_id): life for life in lives(told.recorded)}
    for wish in told.wishes:
        who = wish.known_id or f"wish {wish.number}"
        statuses = [status for _, status, _ in wish.answers]
        if wish.hung or (wish.known_id and (not statuses or statuses[-1] in (0, 503))):
            yield "answers", who, f"no answer after {statuses}"
        if 500 in statuses:
            yield "answers", who, f"{[body for _, status, body in wish.answers if status == 500]}"
        final = {status for status in statuses if status not in (0, 503)}
        if len(final) > 1 or len(wish.prompt_ids) > 1:
            yield "answers", who, f"several answers: {sorted(final)}"
        for prompt_id in sorted(wish.prompt_ids):
            life = by_id.get((wish.who.tenant, prompt_id))
            accepted = life is not None and life.one(RunQueued) is not None
            if (200 in final) != accepted and final:
                yield "answers", who, f"answered {sorted(final)}, accepted: {accepted}"
    for life in by_id.values():
        taken_back, end = life.one(PromptWithdrawn), life.one(RunEnded)
        if taken_back and end and end.event.outcome == "succeeded":
            late = (end.time - taken_back.time).total_seconds()
            if late > HEARING_SECONDS:
                yield "I2", life.prompt_id, f"succeeded {late:.0f} s after it was withdrawn"
