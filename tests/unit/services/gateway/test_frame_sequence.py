"""The order of frames, whatever is late, lost or twice."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.execution import ExecutionStarted, NodeFinished
from libs.events.signals import Progress
from services.gateway.domain import sequence as sequences
from services.gateway.domain.frames import Frame, executed, execution_cached, execution_start
from services.gateway.domain.sequence import Finished, News, Passed, Sequence, Started


def started(order: int = 1, cached: tuple[str, ...] = ()) -> Started:
    """Return the beginning of an attempt."""
    event = ExecutionStarted(prompt_id="p", attempt=1, worker_id="w", order=order, cached=cached)
    return Started(event)


def step(order: int, node_id: str = "2", state: Any = "running", **more: Any) -> Progress:
    """Return a signal."""
    return Progress(prompt_id="p", attempt=1, order=order, node_id=node_id, state=state, **more)


def finished(order: int, node_id: str = "3") -> Finished:
    """Return an output node that is done."""
    event = NodeFinished(
        prompt_id="p",
        attempt=1,
        worker_id="w",
        order=order,
        node_id=node_id,
        node_type="SaveImage",
    )
    return Finished(event)


def let_show(sequence: Sequence, order: int, node_id: str = "3") -> None:
    """Let the log come to an output node."""
    sequence.permit(order, [executed("p", node_id, {"text": [str(order)]})])


def sequence_of(*news: News) -> Sequence:
    """Return a sequencer that heard some news, and whose beginning may be told."""
    sequence = Sequence("p", 1)
    sequence.permit(1, [execution_start("p", 1000), execution_cached("p", (), 1000)])
    for one in news:
        sequence.hear(one)
    return sequence


def words(frames: list[Frame]) -> list[str]:
    """Return the types of frames."""
    return [frame.type for frame in frames]


START = ["execution_start", "execution_cached"]
ANNOUNCED = ["progress_state", "executing"]
STEP = ["progress_state", "progress"]


def test_nothing_is_told_before_the_attempt_has_started():
    sequence = sequence_of(step(2, announces=True))
    assert sequence.ready(0) == []
    assert sequence.ready(99) == []
    sequence.hear(started())
    assert words(sequence.ready(99)) == [*START, *ANNOUNCED]


def test_a_missing_signal_is_waited_for_and_then_given_up():
    sequence = sequence_of(started(), step(3, value=1, total=2))
    assert words(sequence.ready(10)) == START
    assert sequence.waits()
    assert sequence.ready(10.9) == []
    # The announcement was lost, so it is made up for.
    assert words(sequence.ready(11.0)) == [*ANNOUNCED, *STEP]
    assert not sequence.waits()
    sequence.hear(step(2, announces=True))
    assert sequence.ready(12) == []


def test_a_signal_that_comes_in_time_takes_its_turn():
    sequence = sequence_of(started(), step(3, value=1))
    assert words(sequence.ready(10)) == START
    sequence.hear(step(2, announces=True))
    assert words(sequence.ready(10.5)) == [*ANNOUNCED, *STEP]


def test_nothing_is_told_before_the_log_has_come_to_the_beginning():
    sequence = Sequence("p", 1)
    sequence.hear(started())
    sequence.hear(step(2, announces=True))
    assert sequence.ready(99) == []
    assert not sequence.has_told(1)
    sequence.permit(1, [execution_start("p", 1000)])
    assert words(sequence.ready(99)) == ["execution_start", *ANNOUNCED]
    assert sequence.has_told(1)


def test_an_output_waits_for_its_turn_in_the_log_however_long():
    sequence = sequence_of(started(), finished(2), step(3, "4", announces=True))
    assert words(sequence.ready(0)) == START
    assert sequence.ready(99) == []
    let_show(sequence, 2)
    told = sequence.ready(100)
    assert words(told) == [*ANNOUNCED, "executed", *ANNOUNCED]
    assert told[2].data["output"] == {"text": ["2"]}


def test_an_output_that_shows_nothing_is_passed_over():
    sequence = sequence_of(started(cached=("3",)), finished(2), step(3, "4", announces=True))
    sequence.permit(2, [])
    assert words(sequence.ready(0)) == [*START, *ANNOUNCED]


def test_an_event_after_its_turn_is_told_late_and_once():
    sequence = sequence_of(started(cached=("3",)), step(3, "4", announces=True))
    sequence.ready(0)
    assert words(sequence.ready(2)) == ANNOUNCED
    for _ in (1, 2):
        sequence.hear(finished(2))
    assert sequence.ready(2) == []
    assert not sequence.has_told(2)
    let_show(sequence, 2)
    assert words(sequence.ready(2)) == ["executed"]
    assert sequence.has_told(2)
    assert sequence.ready(3) == []


def test_whoever_hurries_waits_for_no_signal():
    sequence = sequence_of(started(), step(3, value=1, total=2))
    sequence.hurry()
    assert words(sequence.ready(0)) == [*START, *ANNOUNCED, *STEP]


def test_at_the_end_everything_is_told_without_waiting():
    sequence = sequence_of(started(cached=("3",)), step(3, announces=True), finished(5), Passed(9))
    let_show(sequence, 5)
    assert words(sequence.flush()) == [*START, *ANNOUNCED, "executed"]
    assert sequence.flush() == []


def test_whole_numbers_travel_without_a_point():
    sequence = sequence_of(started(), step(2, announces=True), step(3, value=1.0, total=2.5))
    progress = sequence.ready(0)[-1]
    assert repr(progress.data["value"]) == "1"
    assert progress.data["max"] == 2.5


def test_a_flood_of_signals_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sequences, "HELD_MAX", 3)
    sequence = sequence_of(*[step(order) for order in range(2, 50)], step(60, announces=True))
    sequence.hear(started())
    told = [*sequence.ready(0), *sequence.ready(1), *sequence.ready(2)]
    assert words(told).count("progress") == 3
    assert words(told)[:2] == START


@given(st.randoms(use_true_random=False), st.sets(st.integers(2, 7)))
def test_any_arrival_gives_the_same_order(shuffler: random.Random, lost: set[int]):
    news: list[News] = [
        started(),
        step(2, announces=True, total=2),
        step(3, value=1, total=2),
        step(4, value=2, total=2),
        step(5, state="finished", value=2, total=2),
        step(6, "3", announces=True),
        finished(8),
        Passed(9),
    ]
    kept = [one for one in news if not (isinstance(one, Progress) and one.order in lost)]
    ordered = sequence_of(*kept)
    let_show(ordered, 8)
    expected = [*ordered.ready(0), *ordered.flush()]
    shuffled = kept * 2
    shuffler.shuffle(shuffled)
    sequence = sequence_of()
    let_show(sequence, 8)
    told: list[Frame] = []
    for one in shuffled:
        sequence.hear(one)
        told += sequence.ready(0)
    told += sequence.flush()
    assert told == expected
