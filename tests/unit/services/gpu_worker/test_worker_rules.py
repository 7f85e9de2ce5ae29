"""The rules of a worker, in sentences."""

from __future__ import annotations

import pytest

from libs.core.jsonvalue import JsonObject
from libs.events.worker import WeightsFile, WeightsListed, WorkerRegistered, WorkerStopped
from services.gpu_worker.domain import execution, presence
from services.gpu_worker.domain.lease import still_held
from services.gpu_worker.domain.shown import taken_apart
from tests.unit.given import given
from tests.unit.services.scheduler.told import (
    ADA,
    BOB,
    ended,
    expired,
    failed,
    finished,
    interrupted,
    lease,
    node_finished,
    queued,
    started,
)

registered = WorkerRegistered(worker_id=ADA, slot="gpu0", device="cpu", backend="t", vram_mib=1)
stopped = WorkerStopped(worker_id=ADA, slot="gpu0", reason="drained")


def listed(*names: str) -> WeightsListed:
    files = tuple(WeightsFile(name=name, size_bytes=1, modified_ms=1) for name in names)
    return WeightsListed(worker_id=ADA, slot="gpu0", weights={"vae": files})


def test_an_attempt_is_told_in_order_and_each_thing_once():
    given(execution).when(started()).then(started()).when(started()).then()
    given(execution, started()).when(node_finished()).then(node_finished()).when(
        node_finished()
    ).then()


@pytest.mark.parametrize("ending", [finished(), failed(), interrupted()])
def test_nothing_is_told_after_the_end_of_an_attempt(ending):
    late = node_finished().model_copy(update={"order": 9})
    given(execution, started()).when(ending).then(ending).when(late).then()


def test_an_older_attempt_has_nothing_to_say_once_a_newer_one_began():
    given(execution, started(1), started(2)).when(finished(1)).then()


def test_a_newer_attempt_begins_whatever_became_of_the_older():
    given(execution, started(1)).when(started(2)).then(started(2))
    given(execution, started(1), failed(1)).when(started(2)).then(started(2))


def test_another_worker_cannot_speak_for_an_attempt():
    foreign = finished().model_copy(update={"worker_id": BOB})
    given(execution, started()).when(foreign).then()


def test_news_that_was_written_before_is_recognised_as_written():
    state = given(execution, started(), node_finished()).state
    assert state.covers(node_finished())
    assert state.covers(started())
    assert not state.covers(finished())
    assert not state.covers(started(2))


def test_a_worker_registers_once_and_lists_what_changed():
    given(presence).when(registered).then(registered).when(registered).then()
    given(presence, registered).when(listed("a")).then(listed("a")).when(listed("a")).then()
    given(presence, registered, listed("a")).when(listed("a", "b")).then(listed("a", "b"))


def test_a_worker_that_left_says_nothing_more():
    given(presence, registered).when(stopped).then(stopped).when(stopped).then()
    given(presence, registered, stopped).when(listed("a")).then()


def test_a_worker_that_never_came_does_not_leave():
    given(presence).when(stopped).then()


@pytest.mark.parametrize(
    ("events", "held"),
    [
        ((queued, lease()), True),
        ((queued,), False),
        ((queued, lease(), expired()), False),
        ((queued, lease(), expired(), lease(2, BOB)), False),
        ((queued, lease(), ended("cancelled")), False),
        ((queued, lease(1, BOB), expired(), lease(2)), False),
    ],
)
def test_a_lease_is_held_until_it_expires_or_the_run_ends(events, held):
    assert still_held(events, ADA, 1) is held


def test_what_a_node_shows_is_taken_apart_into_files_and_words():
    a = ("output", "", "a.png")
    entry: JsonObject = {"type": "output", "subfolder": "", "filename": "a.png"}
    ui: JsonObject = {"images": [entry], "gifs": [entry], "text": ["hello"], "animated": [True]}
    files, rest = taken_apart(ui, frozenset({a}))
    assert files == [("image", a), ("gifs", a)]
    assert rest == {"text": ["hello"], "animated": [True]}


def test_a_file_that_was_not_stored_by_this_attempt_is_no_output():
    entry: JsonObject = {"type": "output", "subfolder": "", "filename": "somebody's.png"}
    assert taken_apart({"images": [entry]}, frozenset()) == ([], {"images": [entry]})
