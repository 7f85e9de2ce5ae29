"""The order of frames, whatever is late, lost or twice."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.base import Sealed
from libs.events.execution import ExecutionStarted, NodeBlocked, NodeFinished
from libs.events.signals import Progress
from services.gateway.domain import sequence as sequences
from services.gateway.domain.frames import (
    Frame,
    executed,
    execution_cached,
    execution_start,
    node_blocked,
)
from services.gateway.domain.sequence import Finished, News, Passed, Sequence, Started


def started(order: int = 1, cached: tuple[str, ...] = ()) -> Started:
    """Return the beginning of an attempt."""
    event = ExecutionStarted(prompt_id="p", attempt=1, worker_id="w", order=order, cached=cached)
    return Started(event)


def step(order: int, node_id: str = "2", state: Any = "running", **more: Any) -> Progress:
    """Return a signal."""
    return Progress(prompt_id="p", attempt=1, order=order, node_id=node_id, state=state, **more)


def done(order: int, node_id: str = "3", **more: Any) -> NodeFinished:
    """Return an output node that is done."""
    return NodeFinished(
        prompt_id="p",
        attempt=1,
        worker_id="w",
        order=order,
        node_id=node_id,
        node_type="SaveImage",
        **more,
    )


def finished(order: int, node_id: str = "3") -> Finished:
    """Return the news of an output node that is done."""
    return Finished(done(order, node_id))


def let_show(sequence: Sequence, order: int, node_id: str = "3") -> None:
    """Let the log come to an output node."""
    sequence.permit(order, [executed("p", done(order, node_id), {"text": [str(order)]})])


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


INSIDE = {"display_node": "2", "parent_node": "2", "real_node": "2"}


def test_a_node_of_an_expansion_is_shown_by_the_node_that_it_stands_for():
    sequence = sequence_of(started(), step(2, "2.0.0.a", announces=True, **INSIDE))
    *_, state, executing = sequence.ready(0)
    assert executing.data == {"node": "2.0.0.a", "display_node": "2", "prompt_id": "p"}
    nodes: Any = state.data["nodes"]
    told = nodes["2.0.0.a"]
    assert (told["display_node_id"], told["parent_node_id"], told["real_node_id"]) == ("2",) * 3
    shown = executed("p", done(3, "2.0.0.a", **INSIDE), {})
    assert (shown.data["node"], shown.data["display_node"]) == ("2.0.0.a", "2")


def test_of_thousands_of_expanded_nodes_the_oldest_are_not_told_any_more(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(sequences, "NODES_TOLD_MAX", 3)
    loop = [step(3 + turn, f"2.{turn}", "finished", **INSIDE) for turn in range(9)]
    sequence = sequence_of(started(), step(2, "1", "finished"), *loop)
    nodes: Any = sequence.ready(0)[-1].data["nodes"]
    assert list(nodes) == ["1", "2.7", "2.8"]


def test_the_state_of_many_nodes_is_told_ten_times_a_second_and_the_last_one_always():
    many = sequences.STATE_NODES
    sequence = sequence_of(started(), *[step(2 + n, f"{n}", announces=True) for n in range(many)])
    assert words(sequence.ready(0)) == [*START, *ANNOUNCED * many]
    told = []
    for n in range(100):
        sequence.hear(step(2 + many + n, f"{many + n}", announces=True))
        told += sequence.ready(1 + n / 100)
    assert words(told).count("executing") == 100
    assert words(told).count("progress_state") == 10
    # Whoever looks while nothing more happens sees where the run is.
    assert sequence.waits()
    later: Any = sequence.ready(2.1)[0].data["nodes"]
    assert list(later)[-1] == f"{many + 99}"
    assert not sequence.waits()
    sequence.hear(step(2 + many + 100, "end", announces=True))
    assert words(sequence.ready(2.11)) == ["executing"]
    last: Any = sequence.flush()[0].data["nodes"]
    assert list(last)[-1] == "end"
    assert sequence.flush() == []


def test_a_node_that_is_not_executed_says_why_and_the_run_goes_on():
    event = NodeBlocked(
        prompt_id="p",
        attempt=1,
        worker_id="w",
        order=3,
        node_id="5",
        node_type="Tell",
        exception_type="ExecutionBlocked",
        detail=Sealed(kid="k", inline="", clear_bytes=0),
        executed=("1",),
    )
    sequence = sequence_of(
        started(), step(2, "5", announces=True), Finished(event), step(4, "6", announces=True)
    )
    words(sequence.ready(0))
    account: Any = {"exception_message": "Execution Blocked: too dark"}
    sequence.permit(3, [node_blocked("p", event, account, 7)])
    error, *later = sequence.ready(0)
    assert error.type == "execution_error"
    assert error.data == {
        "prompt_id": "p",
        "node_id": "5",
        "node_type": "Tell",
        "executed": ["1"],
        "exception_message": "Execution Blocked: too dark",
        "exception_type": "ExecutionBlocked",
        "traceback": [],
        "current_inputs": {},
        "current_outputs": [],
        "timestamp": 7,
    }
    assert words(later) == ANNOUNCED
