"""What the scheduler does about one prompt, whatever the order in which the news comes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given as anything
from hypothesis import strategies as st

from libs.events.base import Event
from libs.events.run import RunEnded, RunQueued, RunRefused
from services.scheduler.domain import run, story
from services.scheduler.domain.decisions import AdmitRun, StopWorker, Terms, next_command
from services.scheduler.domain.run import EndRun, ExpireLease, QueueRun, RefuseRun
from services.scheduler.domain.story import Story
from tests.unit.services.scheduler.told import (
    ADA,
    EVERYTHING_GOOD,
    NOON,
    PROMPT,
    blocked_output,
    blocked_text,
    cancel,
    cleared,
    expired,
    failed,
    finished,
    held,
    interrupted,
    lease,
    node_finished,
    queued,
    refused_credits,
    rejected,
    released,
    started,
    submitted,
    validated,
    withdrawn,
)

TERMS = Terms(attempts_max=3, cancel_seconds=10, wait_seconds_max=100)


def told(*events: Event, at: datetime = NOON) -> Story:
    state = Story(PROMPT, "t")
    for seq, event in enumerate(events, start=1):
        state = story.evolve(state, event, seq, at)
    return state


def decided(*events: Event, now: datetime = NOON, worker_lost: str = ""):
    return next_command(told(*events), now, terms=TERMS, worker_lost=worker_lost)


LEASED = (*EVERYTHING_GOOD, queued, lease())


def test_a_prompt_that_is_valid_cleared_and_paid_is_admitted():
    assert decided(*EVERYTHING_GOOD) == AdmitRun(PROMPT, "free", "u1")


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_nothing_is_decided_before_all_three_answered(missing):
    assert decided(*(e for i, e in enumerate(EVERYTHING_GOOD) if i != missing)) is None


def test_a_rejected_graph_is_refused_with_the_validators_status():
    decision = decided(submitted, rejected)
    assert isinstance(decision, RefuseRun)
    assert (decision.status, decision.code) == (422, "too_many_nodes")


@pytest.mark.parametrize(
    ("news", "status", "code", "retry"),
    [
        ((blocked_text, held), 403, "content_policy", None),
        ((blocked_text, refused_credits()), 403, "content_policy", None),
        ((cleared, refused_credits("balance")), 402, "insufficient_credits", None),
        ((cleared, refused_credits("daily_limit")), 429, "daily_limit", 600),
        ((cleared, refused_credits("internal")), 503, "internal", 5),
    ],
)
def test_a_refusal_has_the_status_of_its_reason(news, status, code, retry):
    decision = decided(submitted, validated(), *news)
    assert isinstance(decision, RefuseRun)
    assert (decision.status, decision.code, decision.retry_after_seconds) == (status, code, retry)


def test_a_prompt_withdrawn_before_it_was_queued_is_refused():
    decision = decided(*EVERYTHING_GOOD, withdrawn)
    assert isinstance(decision, RefuseRun)
    assert decision.status == 503


@pytest.mark.parametrize(
    ("late_seconds", "expected"), [(-1, AdmitRun), (0, AdmitRun), (1, RefuseRun)]
)
def test_a_prompt_whose_caller_has_been_told_503_is_not_accepted_any_more(late_seconds, expected):
    unkeyed = submitted.model_copy(update={"answer_by": NOON})
    answers = (unkeyed, *EVERYTHING_GOOD[1:])
    decision = decided(*answers, now=NOON + timedelta(seconds=late_seconds))
    assert type(decision) is expected
    if isinstance(decision, RefuseRun):
        assert (decision.status, decision.code) == (503, "too_late")


def test_a_prompt_with_a_key_may_be_accepted_however_late():
    decision = decided(*EVERYTHING_GOOD, now=NOON + timedelta(days=1))
    assert isinstance(decision, AdmitRun)


@pytest.mark.parametrize("news", [withdrawn, cancel])
def test_a_waiting_run_that_nobody_wants_is_cancelled(news):
    decision = decided(*EVERYTHING_GOOD, queued, news)
    assert isinstance(decision, EndRun)
    assert (decision.outcome, decision.attempt) == ("cancelled", 0)


def test_the_worker_is_told_to_stop_and_then_the_run_ends_as_cancelled():
    assert decided(*LEASED, started(), cancel) == StopWorker(ADA, PROMPT, 1, "cancelled")
    decision = decided(*LEASED, started(), cancel, interrupted())
    assert isinstance(decision, EndRun)
    assert decision.outcome == "cancelled"


def test_a_worker_that_does_not_stop_in_time_does_not_hold_the_cancel_up():
    decision = decided(*LEASED, cancel, now=NOON + timedelta(seconds=10))
    assert isinstance(decision, EndRun)
    assert decision.outcome == "cancelled"


def test_a_run_that_finished_before_the_cancel_came_stays_finished():
    decision = decided(*LEASED, cancel, finished(), released())
    assert isinstance(decision, EndRun)
    assert decision.outcome == "succeeded"


def test_a_run_that_finished_after_its_withdrawal_is_not_delivered():
    decision = decided(*LEASED, withdrawn, finished(), released())
    assert isinstance(decision, EndRun)
    assert decision.outcome == "cancelled"


def test_a_run_succeeds_when_each_of_its_outputs_is_released():
    first, second = node_finished(files=2), node_finished(node_id="8")
    before = (*LEASED, started(), first, second, finished(outputs=3), released(), released(index=1))
    assert decided(*before) is None
    assert decided(*before, released(node_id="8")) == EndRun(PROMPT, "succeeded", "", 1)


def test_a_run_without_outputs_succeeds_when_it_finished():
    assert decided(*LEASED, finished(outputs=0)) == EndRun(PROMPT, "succeeded", "", 1)


def test_one_blocked_output_blocks_the_run_once_all_are_judged():
    before = (*LEASED, node_finished(files=2), finished(outputs=2), blocked_output())
    assert decided(*before) is None
    assert decided(*before, released(index=1)) == EndRun(PROMPT, "blocked", "nudity", 1)


def test_a_node_that_raised_fails_the_run_when_the_outputs_before_it_are_judged():
    assert decided(*LEASED, node_finished(), failed()) is None
    decision = decided(*LEASED, node_finished(), failed(), released())
    assert decision == EndRun(PROMPT, "failed", "RuntimeError in node 3 (KSampler)", 1)


def test_an_engine_that_died_gives_the_run_another_attempt():
    decision = decided(*LEASED, failed(retryable=True))
    assert decision == ExpireLease(PROMPT, 1, "RuntimeError in node 3 (KSampler)", 3)


def test_a_run_that_the_worker_handed_back_gets_another_attempt():
    decision = decided(*LEASED, interrupted())
    assert isinstance(decision, ExpireLease)


def test_a_lost_worker_loses_its_lease():
    assert decided(*LEASED, started(), worker_lost="silent") == ExpireLease(PROMPT, 1, "silent", 3)


def test_a_lost_worker_whose_work_is_done_keeps_its_lease():
    assert decided(*LEASED, finished(), worker_lost="silent") is None


def test_a_cancelled_run_whose_worker_is_lost_does_not_wait_again():
    decision = decided(*LEASED, cancel, worker_lost="silent")
    assert isinstance(decision, EndRun)
    assert decision.outcome == "cancelled"


def test_an_attempt_has_a_longest_time():
    assert isinstance(decided(*LEASED, started(), now=NOON + timedelta(hours=1)), ExpireLease)


def test_waiting_has_a_longest_time():
    decision = decided(*EVERYTHING_GOOD, queued, now=NOON + timedelta(seconds=100))
    assert isinstance(decision, EndRun)
    assert (decision.outcome, decision.reason) == (
        "expired",
        "no worker was free within 100 seconds",
    )


def test_news_of_an_attempt_that_lost_its_lease_change_nothing():
    old = (started(), node_finished(), finished(), released())
    again = (*LEASED, expired(), lease(2))
    assert decided(*again, *old) is None
    assert decided(*again, *old, failed(1, retryable=True)) is None
    assert decided(*LEASED, expired(), *old) is None


def test_the_same_own_event_again_changes_nothing():
    once = told(*LEASED)
    assert story.evolve(once, expired(), once.run_seq, NOON) == once


def interleaved(lanes: Sequence[Sequence[Event]]) -> st.SearchStrategy[list[Event]]:
    """Every order that keeps each subject's own order, with repetitions."""
    marks = [lane for lane, events in enumerate(lanes) for _ in events]

    def merge(order: Iterable[int], again: list[int]) -> list[Event]:
        places = [iter(lane) for lane in lanes]
        merged = [next(places[lane]) for lane in order]
        for place in again:
            if merged:
                merged.append(merged[place % len(merged)])
        return merged

    # Repetitions come after the whole, as a redelivery does.
    return st.builds(merge, st.permutations(marks), st.lists(st.integers(0, 50), max_size=6))


def played(events: Sequence[Event]) -> list[Event]:
    """Return the scheduler's own events when the world tells `events` in this order.

    The lease is granted as soon as the run waits, as if a worker were always asking.
    """
    state, own, seq = Story(PROMPT, "t"), [], 0
    for event in events:
        seq += 1
        state = story.evolve(state, event, seq, NOON)
        while (decision := _turn(state)) is not None:
            written = run.decide(decision, state.run)
            if not written:
                break
            for mine in written:
                seq += 1
                own.append(mine)
                state = story.evolve(state, mine, seq, NOON)
    return own


def _turn(state: Story):
    if state.run.phase == "queued" and state.cancel_at is None:
        return run.GrantLease(PROMPT, ADA, NOON, 3600)
    decision = next_command(state, NOON, terms=TERMS)
    if isinstance(decision, AdmitRun):
        return QueueRun(PROMPT, 1, decision.tier, decision.account)
    return None if isinstance(decision, StopWorker) else decision


WORK = (started(), node_finished(files=2), finished(outputs=2))
SUCCESS = [
    [submitted],
    [validated()],
    [cleared],
    [held],
    WORK,
    [released(), released(index=1)],
]


@anything(interleaved(SUCCESS))
def test_whichever_news_arrives_last_the_run_is_queued_once_and_succeeds_once(events):
    own = played(events)
    assert [type(event) for event in own].count(RunQueued) == 1
    assert [event.outcome for event in own if isinstance(event, RunEnded)] == ["succeeded"]


@anything(interleaved([*SUCCESS[:5], [blocked_output(), released(index=1)]]))
def test_whichever_news_arrives_last_a_blocked_output_blocks(events):
    own = played(events)
    assert [event.outcome for event in own if isinstance(event, RunEnded)] == ["blocked"]


@anything(interleaved([[submitted], [validated()], [blocked_text], [refused_credits()]]))
def test_whichever_refusal_arrives_first_the_answer_is_the_same(events):
    own = played(events)
    assert [type(event) for event in own] == [RunRefused]
    assert isinstance(own[0], RunRefused)
    assert own[0].status == 403


@anything(interleaved([*SUCCESS, [cancel]]))
def test_a_cancel_at_any_moment_leaves_one_end(events):
    ends = [event.outcome for event in played(events) if isinstance(event, RunEnded)]
    assert ends in (["succeeded"], ["cancelled"])


@anything(interleaved([*SUCCESS, [withdrawn]]))
def test_a_withdrawal_at_any_moment_leaves_one_end_or_one_refusal(events):
    closing = [event for event in played(events) if isinstance(event, RunEnded | RunRefused)]
    assert len(closing) == 1


@anything(interleaved([*SUCCESS[:4], [started(), failed(retryable=True)], [started(2), failed(2)]]))
def test_a_retry_that_fails_for_good_ends_once_as_failed(events):
    own = played(events)
    assert [event.outcome for event in own if isinstance(event, RunEnded)] == ["failed"]
