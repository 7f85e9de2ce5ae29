"""Types that keep something from one prompt to the next."""

from __future__ import annotations

from typing import Any

from libs.graph.schema import NodeSchema, OutputSpec
from libs.nodes.declare import NodeType
from services.gpu_worker.instances import Instances
from tests.semantics.nodes import TYPES
from tests.unit.services.gpu_worker.semantics import Bench

KEY = ("scope", "1", "Counter")


class Counter:
    """Counts how often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def count(self) -> int:
        self.calls += 1
        return self.calls


COUNTER: NodeType[..., Any] = NodeType(
    schema=NodeSchema(
        type="Counter",
        display_name="Counter",
        category="test",
        function="x:y",
        outputs=(OutputSpec(name="INT", type="INT"),),
    ),
    function=Counter.count,
    changes=lambda: float("nan"),
    instance=Counter,
)


def test_a_node_has_the_same_instance_in_every_prompt_and_no_other_node_has_it():
    bench = Bench({**TYPES, "Counter": COUNTER})
    graph: dict[str, tuple[str, dict[str, Any]]] = {
        "one": ("Counter", {}),
        "tell": ("Tell", {"text": ["one", 0]}),
    }
    assert [bench.shown(**graph) for _ in range(3)] == [["1"], ["2"], ["3"]]
    graph["two"] = ("Counter", {})
    graph["tell"] = ("Tell", {"text": ["two", 0]})
    assert bench.shown(**graph) == ["1"]


def test_one_that_is_in_use_is_not_handed_out_twice():
    instances = Instances()
    first = instances.take(KEY, Counter)
    assert instances.take(KEY, Counter) is not first
    instances.keep(KEY, first)
    assert instances.take(KEY, Counter) is first


def test_the_longest_unused_goes_first():
    instances = Instances(count_max=2)
    for name in ("a", "b", "c"):
        instances.keep((name, "1", "Counter"), name)
    assert instances.take(("c", "1", "Counter"), str) == "c"
    assert instances.take(("a", "1", "Counter"), str) == ""
