"""Nodes are taken each after what it needs, whatever is asked for in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.graph.schedule import Schedule

DIAMOND = {"end": ("left", "right"), "left": ("start",), "right": ("start",), "start": ()}


def scheduled(
    edges: Mapping[str, Sequence[str]], *wanted: str, known: Sequence[str] = (), urgent: str = ""
) -> Schedule:
    schedule = Schedule(edges.__getitem__, set(known).__contains__, urgent.split().__contains__)
    schedule.want(wanted)
    return schedule


def taken(schedule: Schedule) -> list[str]:
    order: list[str] = []
    while (node_id := schedule.take()) is not None:
        order.append(node_id)
        schedule.finish(node_id)
    return order


@pytest.mark.covers("R065")
def test_each_node_is_taken_once_after_what_it_needs():
    schedule = scheduled(DIAMOND, "end")
    assert taken(schedule) == ["start", "left", "right", "end"]
    assert schedule.is_over


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    count = draw(st.integers(1, 12))
    return {
        str(number): tuple(
            draw(st.lists(st.sampled_from(range(number)), unique=True).map(lambda s: map(str, s)))
            if number
            else ()
        )
        for number in range(count)
    }


@pytest.mark.covers("R022", "R065")
@given(graphs(), st.data())
def test_any_graph_is_taken_in_an_order_that_works(
    edges: dict[str, tuple[str, ...]], data: st.DataObject
):
    wanted = data.draw(st.lists(st.sampled_from(sorted(edges)), min_size=1, unique=True))
    known = data.draw(st.lists(st.sampled_from(sorted(edges)), unique=True))
    schedule = scheduled(edges, *wanted, known=known)
    order = taken(schedule)
    assert schedule.is_over
    assert len(order) == len(set(order))
    assert set(order).isdisjoint(known)
    at_hand = set(known)
    for node_id in order:
        assert at_hand.issuperset(edges[node_id])
        at_hand.add(node_id)
    assert at_hand.issuperset(wanted)


def test_a_node_at_work_may_ask_for_more_and_is_taken_again():
    schedule = scheduled({"switch": (), "lazy": ("source",), "source": ()}, "switch")
    assert schedule.take() == "switch"
    schedule.need("switch", ["lazy"])
    schedule.give_back("switch")
    assert taken(schedule) == ["source", "lazy", "switch"]


def test_a_node_that_asked_for_nothing_new_is_taken_again_at_once():
    schedule = scheduled({"switch": (), "known": ()}, "switch", known=["known"])
    assert schedule.take() == "switch"
    schedule.need("switch", ["known"])
    schedule.give_back("switch")
    assert schedule.take() == "switch"


def test_what_was_asked_for_last_is_made_first():
    edges = dict.fromkeys(("expands", "other", "inside"), ())
    schedule = scheduled(edges, "expands", "other")
    assert schedule.take() == "expands"
    schedule.need("expands", ["inside"])
    schedule.give_back("expands")
    assert taken(schedule) == ["inside", "expands", "other"]


def test_a_node_that_is_asked_for_twice_serves_both():
    schedule = scheduled({"one": ("both",), "switch": (), "both": ()}, "switch", "one")
    assert schedule.take() == "switch"
    schedule.need("switch", ["both"])
    schedule.need("switch", ["both"])
    schedule.give_back("switch")
    assert taken(schedule) == ["both", "switch", "one"]


def test_what_goes_on_elsewhere_holds_up_only_what_needs_it():
    schedule = scheduled(
        {"end": ("away", "near"), "away": (), "near": ()}, "near", "end", urgent="away"
    )
    assert schedule.take() == "away"
    schedule.send_away("away")
    assert taken(schedule) == ["near"]
    assert schedule.is_waiting
    schedule.call_back("away")
    assert not schedule.is_waiting
    assert taken(schedule) == ["away", "end"]


def test_nodes_that_wait_for_each_other_are_found():
    schedule = scheduled({"tail": ("a",), "a": ("b",), "b": ("c",), "c": ("a",)}, "tail")
    assert schedule.take() is None
    assert not schedule.is_over
    assert not schedule.is_waiting
    assert sorted(schedule.cycle()) == ["a", "b", "c"]


def test_a_node_that_waits_for_itself_is_a_cycle():
    schedule = scheduled({"a": ("a",)}, "a")
    assert schedule.cycle() == ("a",)
    assert scheduled({}).cycle() == ()


def test_thousands_of_nodes_in_a_row_are_no_matter():
    edges = {str(number): (str(number - 1),) if number else () for number in range(5_000)}
    assert len(taken(scheduled(edges, "4999"))) == 5_000
