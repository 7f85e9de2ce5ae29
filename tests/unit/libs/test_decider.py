"""`transact`: load, fold, decide, append; and what it does about races."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from libs.bus.memory import MemoryBus
from libs.core.errors import Conflict, Refused, Unavailable
from libs.decider import TRIES_MAX, Folds, Loaded, fold, transact
from libs.events.base import Event, subject
from libs.events.envelope import Cause, Recorded
from libs.events.run import RunEnded, RunQueued
from tests.unit.given import given

SUBJECT = subject("acme", "run", "p1")
CAUSE = Cause("before", "p1", "trace")


class Numbers:
    """A decider that numbers what is queued, up to a bound it is told."""

    @staticmethod
    def initial() -> int:
        return 0

    @staticmethod
    def decide(most: int, count: int) -> Sequence[Event]:
        if most < 0:
            raise Refused("the bound must not be negative", most=most)
        return [queued(count + 1)] if count < most else []

    @staticmethod
    def evolve(count: int, event: Event) -> int:
        return count + 1 if isinstance(event, RunQueued) else count


def queued(number: int) -> RunQueued:
    return RunQueued(prompt_id="p1", number=number, tier="free", account="a")


@dataclass
class Journal:
    """The in-memory journal, counted, with rivals who write just before an append."""

    bus: MemoryBus = field(default_factory=MemoryBus)
    rivals: list[Event] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)
    loads: list[int] = field(default_factory=list)
    appends: int = 0

    async def load(self, subject: str, after: int = 0) -> Loaded:
        self.loads.append(after)
        return await self.bus.journal.load(subject, after)

    async def append(
        self, tenant: str, events: Sequence[Event], expected: int, cause: Cause
    ) -> tuple[Recorded[Event], ...]:
        self.appends += 1
        if self.trouble:
            raise self.trouble.pop(0)
        if self.rivals:
            last = (await self.bus.journal.load(SUBJECT)).last_seq
            await self.bus.journal.append(tenant, [self.rivals.pop(0)], last, CAUSE)
        return await self.bus.journal.append(tenant, events, expected, cause)

    @property
    def events(self) -> list[Event]:
        return self.bus.journal_events(SUBJECT)


async def act(journal: Journal, most: int, **changes) -> tuple[Recorded[Event], ...]:
    return await transact(journal, Numbers(), SUBJECT, most, CAUSE, **changes)


async def test_what_is_decided_is_written_with_its_cause():
    journal = Journal()
    (recorded,) = await act(journal, 1)
    assert journal.events == [queued(1)]
    assert recorded.event == queued(1)
    assert (recorded.causation_id, recorded.traceparent) == ("before", "trace")
    assert recorded.tenant == "acme"


async def test_nothing_decided_writes_nothing():
    journal = Journal()
    await act(journal, 1)
    assert await act(journal, 1) == ()
    assert journal.appends == 1


async def test_a_refusal_writes_nothing_and_is_not_tried_again():
    journal = Journal()
    with pytest.raises(Refused):
        await act(journal, -1)
    assert (len(journal.loads), journal.appends) == (1, 0)


async def test_after_a_lost_race_it_decides_on_what_the_rival_left():
    journal = Journal(rivals=[queued(7)])
    (recorded,) = await act(journal, 5)
    assert recorded.event == queued(2)
    assert journal.events == [queued(7), queued(2)]
    assert len(journal.loads) == 2


async def test_a_race_may_leave_nothing_to_do():
    journal = Journal(rivals=[queued(7)])
    assert await act(journal, 1) == ()
    assert journal.events == [queued(7)]


async def test_a_race_is_lost_at_most_five_times():
    journal = Journal(rivals=[queued(number) for number in range(50)])
    with pytest.raises(Conflict):
        await act(journal, 1000)
    assert journal.appends == TRIES_MAX == 5
    assert len(journal.events) == 5


async def test_other_trouble_is_not_tried_again():
    journal = Journal(trouble=[Unavailable("the bus is away")])
    with pytest.raises(Unavailable):
        await act(journal, 1)
    assert journal.appends == 1


async def test_folds_spare_the_load():
    journal, folds = Journal(), Folds[int]()
    for _ in range(3):
        await act(journal, 10, folds=folds)
    assert journal.events == [queued(1), queued(2), queued(3)]
    assert journal.loads == [0]


async def test_folds_remember_a_state_even_if_nothing_was_decided():
    journal, folds = Journal(), Folds[int]()
    await act(journal, 0, folds=folds)
    assert folds.get(SUBJECT) == (0, 0)
    await act(journal, 1, folds=folds)
    assert journal.loads == [0]


async def test_old_news_is_never_told_from_memory_alone():
    journal, folds = Journal(), Folds[int]()
    (first,) = await act(journal, 1, folds=folds)
    assert await act(journal, 1, folds=folds) == ()
    assert journal.loads == [0, first.seq]


async def test_what_another_process_wrote_may_turn_nothing_into_something():
    class Answers(Numbers):
        """Answers what somebody else began, once."""

        @staticmethod
        def decide(most: int, count: int) -> Sequence[Event]:
            return [queued(2)] if count == 1 else []

    journal, folds = Journal(), Folds[int]()
    assert await transact(journal, Answers(), SUBJECT, 0, CAUSE, folds=folds) == ()
    await journal.bus.journal.append("acme", [queued(1)], 0, CAUSE)
    (recorded,) = await transact(journal, Answers(), SUBJECT, 0, CAUSE, folds=folds)
    assert recorded.event == queued(2)
    assert folds.get(SUBJECT) == (2, recorded.seq)


async def test_a_fold_that_is_behind_is_dropped_and_loaded():
    journal, folds = Journal(), Folds[int]()
    await act(journal, 10, folds=folds)
    journal.rivals = [queued(9)]
    (recorded,) = await act(journal, 10, folds=folds)
    assert recorded.event == queued(3)
    assert journal.loads == [0, 0]
    assert folds.get(SUBJECT) == (3, recorded.seq)


async def test_after_too_many_races_no_stale_fold_is_left():
    journal, folds = Journal(rivals=[queued(n) for n in range(9)]), Folds[int]()
    with pytest.raises(Conflict):
        await act(journal, 1000, folds=folds)
    assert folds.get(SUBJECT) is None


def test_folds_are_bounded_and_forget_the_oldest():
    folds = Folds[int](size_max=2)
    for number in range(3):
        folds.put(f"s{number}", number, number)
    folds.put("s1", 9, 9)
    folds.put("s3", 3, 3)
    assert folds.get("s0") is None
    assert folds.get("s2") is None
    assert folds.get("s1") == (9, 9)


async def test_a_cold_start_reads_only_what_the_snapshot_lacks():
    journal = Journal()
    await act(journal, 10)
    (second,) = await act(journal, 10)
    await act(journal, 10)

    async def snapshot(subject: str) -> tuple[int, int]:
        assert subject == SUBJECT
        return 2, second.seq

    (recorded,) = await act(journal, 10, cold=snapshot)
    assert recorded.event == queued(4)
    assert journal.loads[-1] == second.seq


async def test_a_cold_start_that_covers_everything_still_knows_the_place():
    journal = Journal()
    (first,) = await act(journal, 10)

    async def snapshot(subject: str) -> tuple[int, int]:
        return 1, first.seq

    (recorded,) = await act(journal, 10, cold=snapshot)
    assert recorded.event == queued(2)
    assert journal.appends == 2


def test_events_that_a_decider_does_not_know_change_nothing():
    ended = RunEnded(prompt_id="p1", outcome="failed", attempt=0)
    assert fold(Numbers(), 0, [queued(1), ended, queued(2)]) == 2


def test_deciders_are_tested_in_sentences():
    given(Numbers()).when(1).then(queued(1)).when(1).then()
    given(Numbers(), queued(1)).when(-1).refused(Refused, "negative")
    with pytest.raises(AssertionError):
        given(Numbers()).when(1).then(queued(2))


async def test_a_subject_that_is_most_likely_empty_is_written_without_a_load():
    journal = Journal()
    (recorded,) = await act(journal, 1, fresh=True)
    assert recorded.event == queued(1)
    assert journal.loads == []


async def test_who_took_a_subject_for_empty_and_was_wrong_decides_on_what_is_there():
    journal = Journal()
    await act(journal, 1)
    assert await act(journal, 1, fresh=True) == ()
    (recorded,) = await act(journal, 2, fresh=True)
    assert recorded.event == queued(2)
    assert journal.events == [queued(1), queued(2)]


async def test_nothing_to_do_on_an_empty_subject_is_only_believed_after_a_load():
    journal = Journal()
    assert await act(journal, 0, fresh=True) == ()
    assert len(journal.loads) == 1
