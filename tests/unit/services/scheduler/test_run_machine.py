"""A run under any commands in any order, beside a model that is a page of prose turned to code."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from libs.decider import fold
from libs.events.base import Event
from libs.events.run import (
    LeaseExpired,
    LeaseGranted,
    Outcome,
    RunEnded,
    RunQueued,
    RunRefused,
)
from services.scheduler.domain import run
from services.scheduler.domain.run import (
    Command,
    EndRun,
    ExpireLease,
    GiveUpRun,
    GrantLease,
    QueueRun,
    RefuseRun,
)
from tests.unit.services.scheduler.told import ADA, BOB, NOON, PROMPT

ATTEMPTS_MAX = 3
attempts = st.integers(0, ATTEMPTS_MAX + 1)


class RunMachine(RuleBasedStateMachine):
    """The model: `begun`, `leases` given so far, who has the `holder`'s place, and `closed`."""

    def __init__(self) -> None:
        super().__init__()
        self.state = run.initial()
        self.written: list[Event] = []
        self.begun = False
        self.closed = False
        self.leases = 0
        self.holder = ""

    @rule(number=st.integers(1, 9))
    def queue(self, number):
        expected = [] if self.begun else ["RunQueued"]
        self._say(QueueRun(PROMPT, number, "free", "u1"), expected)
        self.begun = True

    @rule()
    def refuse(self):
        expected = [] if self.begun else ["RunRefused"]
        self._say(RefuseRun(PROMPT, 429, "queue_full", "later"), expected)
        self.closed |= not self.begun
        self.begun = True

    @rule(worker_id=st.sampled_from([ADA, BOB]), seconds=st.integers(1, 10_000))
    def grant(self, worker_id, seconds):
        waits = self.begun and not self.closed and not self.holder
        moment = NOON + timedelta(seconds=seconds)
        self._say(GrantLease(PROMPT, worker_id, moment, 60), ["LeaseGranted"] * waits)
        if waits:
            self.leases += 1
            self.holder = worker_id

    @rule(attempt=attempts)
    def expire(self, attempt):
        expected = []
        if self.holder and attempt == self.leases:
            expected = ["LeaseExpired"]
            self.holder = ""
            if attempt == ATTEMPTS_MAX:
                expected.append("RunEnded")
                self.closed = True
        self._say(ExpireLease(PROMPT, attempt, "silent", ATTEMPTS_MAX), expected)

    @rule(attempt=attempts, outcome=st.sampled_from(get_args(Outcome)))
    def end(self, attempt, outcome):
        open_now = self.begun and not self.closed
        proven = bool(self.holder) or outcome not in ("succeeded", "blocked")
        ends = open_now and proven and attempt == self.leases
        self._say(EndRun(PROMPT, outcome, "", attempt), ["RunEnded"] * ends)
        if ends:
            self.closed, self.holder = True, ""

    @rule()
    def give_up(self):
        expected = ["RunEnded"] * (not self.closed) if self.begun else ["RunRefused"]
        self._say(GiveUpRun(PROMPT, "internal"), expected)
        self.begun = self.closed = True
        self.holder = ""

    @invariant()
    def the_fold_is_the_state(self):
        assert fold(run, run.initial(), self.written) == self.state

    @invariant()
    def at_most_one_lease_lives(self):
        given = sum(isinstance(event, LeaseGranted) for event in self.written)
        taken = sum(isinstance(event, LeaseExpired) for event in self.written)
        assert given - taken in (0, 1)
        assert (self.state.phase == "leased") == bool(self.holder)

    @invariant()
    def attempts_grow_by_one_up_to_three(self):
        numbers = [event.attempt for event in self.written if isinstance(event, LeaseGranted)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) <= ATTEMPTS_MAX

    @invariant()
    def one_beginning_one_end_and_nothing_after_it(self):
        begun = [n for n, e in enumerate(self.written) if isinstance(e, RunQueued | RunRefused)]
        ends = [n for n, e in enumerate(self.written) if isinstance(e, RunEnded | RunRefused)]
        assert begun in ([], [0])
        assert ends in ([], [len(self.written) - 1])
        assert self.state.over == self.closed

    def _say(self, command: Command, expected: list[str]) -> None:
        decided = list(run.decide(command, self.state))
        assert [type(event).__name__ for event in decided] == expected
        assert list(run.decide(command, self.state)) == decided
        self.state = fold(run, self.state, decided)
        self.written += decided
        # The same command once more is old news, whatever it was.
        assert not run.decide(command, self.state)


RunMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
TestRunMachine = RunMachine.TestCase
