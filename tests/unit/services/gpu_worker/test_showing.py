"""Files are made beside the sampling path: the next nodes go on, and failures find their node."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from libs.nodes.context import Interrupted
from services.gpu_worker.failing import NodeFailed
from services.gpu_worker.showing import Showing
from tests.unit.services.gpu_worker.test_executor import CALLS, GATES, Bench, make


def saving(*middle: dict[str, Any], text: str = "", then: str = "") -> dict[str, Any]:
    """Return a graph that saves first, and goes on with the picture that it saved."""
    graph = {"0": make("Source", text="a"), "save": make("Save", value=["0", 0], text=text)}
    before = "save"
    for number, body in enumerate(middle, start=1):
        graph[f"m{number}"] = make(body["class_type"], **{**body["inputs"], "value": [before, 0]})
        before = f"m{number}"
    return graph | {"end": make("Save" if then else "Show", value=[before, 0])}


def test_the_next_node_is_executed_while_files_are_made():
    """What is saved first waits for a gate that only a later node opens."""
    GATES["later"] = threading.Event()
    bench = Bench()
    executed = bench.run(saving(make("Open", text="later"), text="later"))
    assert executed.ui["save"] == {"text": ["a"], "node": "save"}
    assert ("Saved", "show") in CALLS
    news = bench.heard.news
    assert news.index(("finished", "save")) > news.index(("started", "m1"))
    assert {one for what, one in news if what == "finished"} == {"0", "save", "m1", "end"}
    assert set(executed.executed) == {"0", "save", "m1", "end"}


def test_files_are_made_in_the_order_of_their_nodes():
    bench = Bench()
    bench.run(saving(make("Save"), make("Save"), make("Save"), text="", then="Save"))
    finished = [one for what, one in bench.heard.news if what == "finished"]
    assert finished == ["0", "save", "m1", "m2", "m3", "end"]


def test_a_file_that_cannot_be_made_fails_its_own_node():
    bench = Bench()
    with pytest.raises(NodeFailed) as failed:
        bench.run(saving(make("Split"), text="fails"))
    told = failed.value
    assert (told.node_id, told.node_type, told.exception_type) == ("save", "Save", "OSError")
    assert told.current_inputs == {"value": ["Value"], "text": ["fails"]}
    assert ("finished", "save") not in bench.heard.news
    assert "save" not in told.executed


def test_of_two_failures_the_first_node_is_named():
    GATES["fails"] = threading.Event()
    try:
        with pytest.raises(NodeFailed) as failed:
            Bench().run(saving(make("Open", text="fails"), make("Fail"), text="fails"))
    finally:
        del GATES["fails"]
    assert failed.value.node_id == "save"


def test_what_was_made_before_a_later_failure_is_told():
    bench = Bench()
    with pytest.raises(NodeFailed) as failed:
        bench.run(saving(make("Fail")))
    assert failed.value.node_id == "m1"
    assert ("finished", "save") in bench.heard.news


def test_an_interrupt_while_a_file_is_made_names_the_node():
    with pytest.raises(Interrupted) as stopped:
        Bench().run(saving(make("Split"), text="stopped"))
    assert stopped.value.facts == {"node_id": "save", "node_type": "Save"}


def test_an_interrupt_wins_over_a_failure_and_waits_for_what_is_being_made():
    GATES["fails"] = threading.Event()
    try:
        with pytest.raises(Interrupted):
            Bench().run(saving(make("Split"), text="fails"), stop_before="m1")
    finally:
        del GATES["fails"]
    assert ("Saved", "show") in CALLS


def test_a_remembered_file_is_not_made_again():
    bench = Bench()
    first = bench.run(saving(text="once"))
    second = bench.run(saving(text="once"))
    assert second.ui == first.ui
    assert CALLS == []


def test_a_fast_graph_waits_for_a_slow_encoder():
    gate, begun = threading.Event(), threading.Semaphore(0)

    def slow() -> None:
        begun.release()
        assert gate.wait(20)

    with Showing() as showing:
        showing.begin(slow)
        showing.begin(slow)
        third = threading.Thread(target=showing.begin, args=(slow,))
        third.start()
        third.join(0.2)
        assert third.is_alive()
        gate.set()
        third.join(20)
        assert not third.is_alive()
