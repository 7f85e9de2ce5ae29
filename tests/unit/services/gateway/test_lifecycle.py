"""The places of what is told for certain: a function of the log, and of nothing else."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from libs.events.base import Event
from libs.events.execution import ExecutionStarted, NodeFinished, Output
from libs.events.moderation import OutputBlocked, OutputReleased
from libs.events.run import RunEnded
from services.gateway.domain import story as stories
from services.gateway.domain.lifecycle import (
    FRAMES_OF_ONE_EVENT,
    Lifecycle,
    Over,
    Placed,
    Shown,
    place_of,
    seq_at,
)
from services.gateway.rendering import frames_of
from tests.unit.services.gateway.events import leased, queued, recorded, submitted


def started(order: int = 1, attempt: int = 1) -> ExecutionStarted:
    return ExecutionStarted(prompt_id="p", attempt=attempt, worker_id="w", order=order)


def finished(order: int, node_id: str, files: int = 1, attempt: int = 1) -> NodeFinished:
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
        for index in range(files)
    )
    return NodeFinished(
        prompt_id="p",
        attempt=attempt,
        worker_id="w",
        order=order,
        node_id=node_id,
        node_type="SaveImage",
        outputs=outputs,
    )


def released(node_id: str, index: int = 0, attempt: int = 1) -> OutputReleased:
    return OutputReleased(
        prompt_id="p", attempt=attempt, node_id=node_id, index=index, artifact="o", sha256="s"
    )


def blocked(node_id: str, index: int = 0) -> OutputBlocked:
    return OutputBlocked(prompt_id="p", attempt=1, node_id=node_id, index=index, category="x")


def ended(outcome: Any = "succeeded", attempt: int = 1) -> RunEnded:
    return RunEnded(prompt_id="p", outcome=outcome, attempt=attempt)


def lived(*events: Event) -> list[Placed]:
    """Return the moments of a prompt whose events have the sequences from 1 on."""
    first, *others = (recorded(event, seq=seq) for seq, event in enumerate(events, 1))
    story, life = stories.begin(first), Lifecycle()
    for one in others:
        story = stories.evolve(story, one)
        life.hear(story, one)
    return life.placed


def told(placed: list[Placed]) -> list[tuple[int, int, str]]:
    """Return every frame as its event, its turn and its type."""
    return [
        (seq_at(frame.seq), frame.seq % FRAMES_OF_ONE_EVENT, frame.type)
        for one in placed
        for frame in frames_of("p", one, {})
    ]


BEGUN = (submitted(), queued(), leased(), started())
BEGINNING = [(4, 0, "execution_start"), (4, 1, "execution_cached")]


def test_every_frame_has_the_place_of_the_event_that_made_it_tellable():
    story = (*BEGUN, finished(2, "3"), released("3"), ended())
    assert told(lived(*story)) == [
        *BEGINNING,
        (6, 0, "executed"),
        (7, 0, "execution_complete"),
        (7, 1, "execution_success"),
        (7, 2, "executing"),
    ]


def test_an_output_waits_for_those_before_it_and_then_they_share_an_event():
    story = (*BEGUN, finished(2, "3"), finished(3, "4"), released("4"), released("3"), ended())
    assert told(lived(*story))[2:4] == [(8, 0, "executed"), (8, 1, "executed")]


def test_what_nobody_judged_is_told_at_the_end_with_what_was_released():
    placed = lived(*BEGUN, finished(2, "3", files=2), released("3", 1), ended("failed"))
    shown = placed[1].moment
    assert isinstance(shown, Shown)
    assert shown.released == {1}
    assert [(seq, turn) for seq, turn, _ in told(placed)[2:]] == [(7, 0), (7, 1), (7, 2)]


def test_a_withheld_file_is_not_shown():
    placed = lived(*BEGUN, finished(2, "3"), blocked("3"), ended("blocked"))
    assert "executed" not in {kind for _, _, kind in told(placed)}


def test_what_comes_twice_is_told_once():
    story = (*BEGUN, started(), finished(2, "3"), finished(2, "3"), released("3"))
    again = (leased(), finished(2, "3"), released("3"), ended())
    kinds = [kind for _, _, kind in told(lived(*story, *again))]
    assert kinds.count("execution_start") == kinds.count("executed") == 1


def test_another_attempt_begins_anew_and_the_one_before_is_over():
    story = (*BEGUN, finished(2, "3"), leased(attempt=2), released("3"))
    later = (started(attempt=2), finished(2, "3", attempt=2), released("3", attempt=2), ended())
    kinds = [kind for _, _, kind in told(lived(*story, *later))]
    assert kinds.count("execution_start") == 2
    assert kinds.count("executed") == 1


def test_a_prompt_that_never_ran_has_an_end_and_nothing_else():
    placed = lived(submitted(), queued(), ended("cancelled", attempt=0))
    assert [type(one.moment) for one in placed] == [Over]


def test_a_place_names_its_event():
    assert seq_at(place_of(7)) == seq_at(place_of(7, FRAMES_OF_ONE_EVENT - 1)) == 7
    assert place_of(8) - place_of(7, FRAMES_OF_ONE_EVENT - 1) == 1


OUTPUTS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6)


@given(outputs=OUTPUTS, order=st.randoms(use_true_random=False))
def test_places_only_grow_and_every_node_that_shows_something_is_told_once(
    outputs: list[tuple[int, bool]], order: Any
):
    events: list[Event] = [finished(2 + n, str(n), files) for n, (files, _) in enumerate(outputs)]
    verdicts: list[Event] = [
        released(str(n), index) if seen else blocked(str(n), index)
        for n, (files, seen) in enumerate(outputs)
        for index in range(files)
    ]
    order.shuffle(verdicts)
    places = [(seq, turn) for seq, turn, _ in told(lived(*BEGUN, *events, *verdicts, ended()))]
    assert places == sorted(set(places))
    shown = [kind for _, _, kind in told(lived(*BEGUN, *events, *verdicts, ended()))]
    assert shown.count("executed") == sum(files > 0 and seen for files, seen in outputs)
