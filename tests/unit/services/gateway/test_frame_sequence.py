"""The order of frames, whatever is late, lost or twice."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.base import Sealed
from libs.events.execution import ExecutionStarted, NodeFinished, Output
from libs.events.moderation import OutputBlocked, OutputReleased
from libs.events.signals import Progress
from services.gateway.domain import sequence as sequences
from services.gateway.domain.frames import Frame
from services.gateway.domain.sequence import News, Passed, Sequence, Shown, Started


def started(order: int = 1, cached: tuple[str, ...] = ()) -> Started:
    """Return the beginning of an attempt."""
    event = ExecutionStarted(prompt_id="p", attempt=1, worker_id="w", order=order, cached=cached)
    return Started(event, 1000, 5)


def step(order: int, node_id: str = "2", state: Any = "running", **more: Any) -> Progress:
    """Return a signal."""
    return Progress(prompt_id="p", attempt=1, order=order, node_id=node_id, state=state, **more)


def shown(order: int, *indexes: int, node_id: str = "3", ui: Any = None) -> Shown:
    """Return a finished output node with files."""
    outputs = tuple(
        Output(
            index=index,
            kind="image",
            filename=f"{index}.png",
            subfolder="",
            folder="output",
            artifact="q",
            sha256="s",
            mime="image/png",
            size_bytes=1,
        )
        for index in indexes
    )
    event = NodeFinished(
        prompt_id="p",
        attempt=1,
        worker_id="w",
        order=order,
        node_id=node_id,
        node_type="SaveImage",
        outputs=outputs,
        ui=Sealed(kid="k") if ui is None else None,
    )
    return Shown(event, 100 + order, ui)


def released(index: int, node_id: str = "3") -> OutputReleased:
    """Return moderation's yes."""
    return OutputReleased(
        prompt_id="p", attempt=1, node_id=node_id, index=index, artifact="o", sha256="s"
    )


def blocked(index: int, node_id: str = "3") -> OutputBlocked:
    """Return moderation's no."""
    return OutputBlocked(prompt_id="p", attempt=1, node_id=node_id, index=index, category="x")


def sequence_of(*news: News) -> Sequence:
    """Return a sequencer that heard some news."""
    sequence = Sequence("p", 1)
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


def test_an_output_waits_for_each_of_its_files_however_long():
    sequence = sequence_of(started(), shown(2, 0, 1, ui={}), step(3, "4", announces=True))
    sequence.judge(released(0))
    assert words(sequence.ready(0)) == START
    assert sequence.ready(99) == []
    sequence.judge(blocked(1))
    told = sequence.ready(100)
    assert words(told) == [*ANNOUNCED, "executed", *ANNOUNCED]
    images = [{"filename": "0.png", "subfolder": "", "type": "output"}]
    assert told[2].data["output"] == {"images": images}
    assert told[2].seq == 102


def test_a_node_whose_files_are_all_withheld_shows_nothing():
    sequence = sequence_of(started(cached=("3",)), shown(2, 0, ui={}))
    sequence.judge(blocked(0))
    assert words(sequence.ready(0)) == START


def test_sealed_words_are_waited_for():
    sequence = sequence_of(started(cached=("3",)), shown(2))
    assert words(sequence.ready(0)) == START
    sequence.unseal(2, {"text": ["hello"]})
    assert sequence.ready(0)[0].data["output"] == {"text": ["hello"]}


def test_an_event_after_its_turn_is_told_late_and_once():
    sequence = sequence_of(started(cached=("3",)), step(3, "4", announces=True))
    sequence.ready(0)
    assert words(sequence.ready(2)) == ANNOUNCED
    for _ in (1, 2):
        sequence.hear(shown(2, 0, ui={}))
    assert sequence.ready(2) == []
    sequence.judge(released(0))
    assert words(sequence.ready(2)) == ["executed"]
    assert sequence.ready(3) == []


def test_at_the_end_everything_is_told_without_waiting():
    sequence = sequence_of(
        started(cached=("3",)), step(3, announces=True), shown(5, 0, 1), Passed(9)
    )
    sequence.judge(released(1))
    told = sequence.flush()
    assert words(told) == [*START, *ANNOUNCED, "executed"]
    assert told[-1].data["output"] == {
        "images": [{"filename": "1.png", "subfolder": "", "type": "output"}]
    }
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
        shown(8, 0, ui={}),
        Passed(9),
    ]
    kept = [one for one in news if not (isinstance(one, Progress) and one.order in lost)]
    ordered = sequence_of(*kept)
    ordered.judge(released(0))
    expected = [*ordered.ready(0), *ordered.flush()]
    shuffled = kept * 2
    shuffler.shuffle(shuffled)
    sequence = sequence_of()
    sequence.judge(released(0))
    told: list[Frame] = []
    for one in shuffled:
        sequence.hear(one)
        told += sequence.ready(0)
    told += sequence.flush()
    assert told == expected
