"""The queue as people see it."""

from __future__ import annotations

import pytest

from libs.events.base import Sealed
from libs.events.execution import ExecutionFailed
from libs.events.run import LeaseExpired, RunEnded, RunRefused
from services.gateway.domain import queue as queues
from services.gateway.domain.queue import Queue
from tests.unit.services.gateway.events import leased, queued, recorded, submitted

ANN, BOB = ("acme", "ann"), ("acme", "bob")


def queue_of(*events: object) -> Queue:
    """Return a queue after events of the tenant acme."""
    queue = Queue()
    for event in events:
        queue.apply(recorded(event))  # type: ignore[arg-type]
    return queue


def test_a_prompt_counts_from_its_acceptance_on():
    queue = queue_of(submitted())
    assert (queue.remaining(ANN), queue.depth("acme")) == (0, 1)
    queue.apply(recorded(queued()))
    assert queue.remaining(ANN) == 1
    assert [story.prompt_id for story in queue.pending(ANN)] == ["p"]


def test_a_leased_prompt_runs_and_a_lost_lease_lets_it_wait_again():
    queue = queue_of(submitted(), queued(), leased())
    assert [story.prompt_id for story in queue.running(ANN)] == ["p"]
    assert queue.pending(ANN) == []
    queue.apply(recorded(LeaseExpired(prompt_id="p", worker_id="w", attempt=1, cause="silent")))
    assert queue.running(ANN) == []
    assert queue.remaining(ANN) == 1


def test_an_ended_prompt_stays_until_it_is_told_to_leave():
    queue = queue_of(submitted(), queued(), leased())
    ended = RunEnded(prompt_id="p", outcome="succeeded", attempt=1)
    story = queue.apply(recorded(ended, seq=77))
    assert story is not None
    assert (story.ended, story.ended_seq) == (ended, 77)
    assert queue.remaining(ANN) == 1
    queue.leave(story)
    queue.leave(story)
    assert (queue.remaining(ANN), queue.depth("acme"), len(queue)) == (0, 0, 0)


def test_a_refused_prompt_is_forgotten_at_once():
    refused = RunRefused(prompt_id="p", status=402, code="balance", message="no")
    queue = queue_of(submitted(), refused)
    assert (queue.get("acme", "p"), queue.depth("acme")) == (None, 0)


def test_every_event_may_come_twice():
    events = [submitted(), queued(), leased()]
    queue = queue_of(*[event for event in events for _ in (1, 2)])
    assert (queue.remaining(ANN), queue.depth("acme")) == (1, 1)
    assert len(queue.running(ANN)) == 1


def test_owners_see_their_own_line_and_their_own_place_in_it():
    events = []
    for number, (prompt_id, user) in enumerate([("a", "ann"), ("b", "bob"), ("c", "ann")], 1):
        events += [submitted(prompt_id, user_id=user), queued(prompt_id, number)]
    queue = queue_of(*events)
    assert [story.prompt_id for story in queue.pending(ANN)] == ["a", "c"]
    assert [story.prompt_id for story in queue.pending(BOB)] == ["b"]
    assert [queue.accepted_at("acme", name) for name in "abc"] == [0, 0, 1]
    assert (queue.remaining(("other", "ann")), queue.depth("acme")) == (0, 3)


def test_front_and_priority_change_the_place():
    queue = queue_of(
        submitted("a"),
        queued("a", 1),
        submitted("b", front=True),
        queued("b", 2),
        submitted("c", priority=0.5),
        queued("c", 3),
    )
    assert [story.prompt_id for story in queue.pending(ANN)] == ["b", "c", "a"]
    assert queue.accepted_at("acme", "b") == 0


def test_a_new_attempt_forgets_how_the_last_one_failed():
    failed = ExecutionFailed(
        prompt_id="p",
        attempt=1,
        worker_id="w",
        order=3,
        node_id="1",
        node_type="T",
        exception_type="Lost",
        detail=Sealed(kid="k"),
    )
    queue = queue_of(submitted(), queued(), leased(), failed, leased(attempt=2), failed)
    story = queue.get("acme", "p")
    assert story is not None
    assert (story.attempt, story.failed) == (2, None)


def test_what_is_never_answered_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(queues, "UNANSWERED_MAX", 2)
    queue = queue_of(*[submitted(name) for name in "abc"])
    assert queue.get("acme", "a") is None
    assert len(queue) == 2
