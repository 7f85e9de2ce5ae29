"""A run, in sentences."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given as anything
from hypothesis import strategies as st

from libs.decider import fold
from libs.events.base import Event
from libs.events.run import RunEnded, RunQueued, RunRefused
from services.scheduler.domain import run
from services.scheduler.domain.run import (
    EndRun,
    ExpireLease,
    GiveUpRun,
    GrantLease,
    QueueRun,
    RefuseRun,
)
from tests.unit.given import given
from tests.unit.services.scheduler.told import (
    ADA,
    BOB,
    NOON,
    PROMPT,
    ended,
    expired,
    lease,
    queued,
)

queue = QueueRun(PROMPT, 1, "free", "u1")
refuse = RefuseRun(PROMPT, 403, "content_policy", "no")
refused = RunRefused(prompt_id=PROMPT, status=403, code="content_policy", message="no")


def grant(worker_id: str = ADA) -> GrantLease:
    return GrantLease(PROMPT, worker_id, NOON, 3600)


def expire(attempt: int = 1) -> ExpireLease:
    return ExpireLease(PROMPT, attempt, "silent", 3)


def end(outcome, attempt: int = 1) -> EndRun:
    return EndRun(PROMPT, outcome, "", attempt)


def test_a_prompt_is_accepted_once():
    given(run).when(queue).then(queued).when(queue).then()


def test_a_refused_prompt_is_never_queued_and_a_queued_one_never_refused():
    given(run).when(refuse).then(refused).when(queue).then()
    given(run, queued).when(refuse).then()


def test_a_waiting_run_is_leased_to_the_worker_who_asks():
    given(run, queued).when(grant()).then(lease())


def test_nothing_is_leased_that_was_not_queued():
    given(run).when(grant()).then()
    given(run, refused).when(grant()).then()


def test_a_leased_run_is_leased_to_nobody_else():
    given(run, queued, lease()).when(grant(BOB)).then()


def test_a_lost_lease_goes_back_to_the_queue_and_the_next_attempt_is_one_more():
    given(run, queued, lease()).when(expire()).then(expired()).when(grant(BOB)).then(
        lease(attempt=2, worker_id=BOB)
    )


def test_the_last_lost_attempt_fails_the_run_with_the_reason():
    before = (queued, lease(), expired(), lease(2), expired(2), lease(3))
    given(run, *before).when(expire(3)).then(
        expired(3), ended("failed", 3, "given up after 3 attempts: silent")
    )


def test_the_expiry_of_an_older_attempt_is_old_news():
    given(run, queued, lease(), expired(), lease(2)).when(expire(1)).then()


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled", "blocked", "expired"])
def test_a_run_ends_exactly_once(outcome):
    after = given(run, queued, lease()).when(end(outcome)).then(ended(outcome))
    for command in (end("failed"), end(outcome), expire(), grant(), queue, refuse):
        after.when(command).then()


def test_results_of_an_attempt_that_lost_its_lease_end_nothing():
    given(run, queued, lease(), expired()).when(end("succeeded", 1)).then()
    given(run, queued, lease(), expired(), lease(2)).when(end("succeeded", 1)).then()


def test_a_waiting_run_can_be_cancelled_but_not_succeed():
    given(run, queued).when(end("succeeded", 0)).then()
    given(run, queued).when(end("cancelled", 0)).then(ended("cancelled", 0))


def test_a_cancel_that_was_decided_before_the_lease_does_not_end_the_lease():
    given(run, queued, lease()).when(end("cancelled", 0)).then()


def test_giving_up_refuses_the_new_and_fails_the_open_and_leaves_the_ended():
    refusal = RunRefused(
        prompt_id=PROMPT,
        status=503,
        code="internal",
        message="The prompt could not be handled; nothing is charged",
    )
    given(run).when(GiveUpRun(PROMPT, "internal")).then(refusal)
    given(run, queued, lease()).when(GiveUpRun(PROMPT, "internal")).then(
        ended("failed", 1, "internal")
    )
    given(run, queued, ended("failed", 0)).when(GiveUpRun(PROMPT, "internal")).then()


def test_a_lease_ends_by_itself_after_its_term():
    state = given(run, queued, lease()).state
    assert state.expires_at == NOON + timedelta(hours=1)


commands = st.lists(
    st.one_of(
        st.just(queue),
        st.just(refuse),
        st.builds(grant, st.sampled_from([ADA, BOB])),
        st.builds(expire, st.integers(1, 4)),
        st.builds(
            end, st.sampled_from(["succeeded", "failed", "cancelled", "blocked"]), st.integers(0, 4)
        ),
        st.just(GiveUpRun(PROMPT, "internal")),
    ),
    max_size=30,
)


@anything(commands)
def test_whatever_is_commanded_there_is_one_first_event_and_at_most_one_end(commanded):
    state = run.initial()
    events: list[Event] = []
    for command in commanded:
        decided = run.decide(command, state)
        events.extend(decided)
        state = fold(run, state, decided)
    firsts = [event for event in events if isinstance(event, RunQueued | RunRefused)]
    ends = [event for event in events if isinstance(event, RunEnded)]
    assert len(firsts) == bool(events)
    assert len(ends) <= 1
    assert not ends or events[-1] is ends[0]
    assert state.attempt <= 3 or not any(isinstance(c, ExpireLease) for c in commanded)
