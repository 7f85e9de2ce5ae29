"""A graph is executed node by node; what is remembered is not executed again."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from libs.core.errors import Refused
from libs.core.jsonvalue import JsonObject
from libs.graph.parse import parse
from libs.graph.plan import plan
from libs.graph.schema import Catalogue
from libs.nodes.context import Context, Interrupted
from libs.nodes.declare import NodeType, Shown, node
from libs.nodes.sockets import Latent, Model
from services.gpu_worker.executor import Executor
from services.gpu_worker.failing import SUMMARY_CHARACTERS_MAX, NodeFailed
from services.gpu_worker.results import Result, ResultMemory

CALLS: list[tuple[str, Any]] = []
MADE: list[weakref.ref[Any]] = []


class Value:
    """A value that says how large it is."""

    def __init__(self, text: str, size_bytes: int = 10) -> None:
        self.text = text
        self.size_bytes = size_bytes
        MADE.append(weakref.ref(self))


def latent(text: str) -> Latent:
    return cast("Latent", Value(text))


class Two(NamedTuple):
    LEFT: Latent
    RIGHT: Latent


class Saved(NamedTuple):
    OUT: Latent


@node("Source", title="Source", category="x")
def source(*, text: str, other: str = "default") -> Latent:
    """Make a value."""
    CALLS.append(("Source", (text, other)))
    return latent(text)


@node("Split", title="Split", category="x")
def split(*, value: Latent) -> Two:
    """Make two of one."""
    given: Any = value
    CALLS.append(("Split", given.text))
    return Two(latent(given.text + "L"), latent(given.text + "R"))


@node("Join", title="Join", category="x")
def join(*, first: Latent, second: Latent) -> Latent:
    """Make one of two."""
    one: Any = first
    two: Any = second
    CALLS.append(("Join", one.text + two.text))
    return latent(one.text + two.text)


@node("Show", title="Show", category="x", output_node=True)
def show(context: Context, *, value: Latent) -> Shown[None]:
    """Show a value."""
    given: Any = value
    CALLS.append(("Show", given.text))
    return Shown(None, {"text": [given.text], "node": context.node_id})


@node("Fail", title="Fail", category="x")
def fail(*, value: Latent, model: Model | None = None, text: str = "words") -> Latent:
    """Raise."""
    raise ZeroDivisionError("nothing to divide by")


@node("Refuse", title="Refuse", category="x")
def refuse(*, value: Latent) -> Latent:
    """Refuse."""
    raise Refused("the picture is too large", maximum=9)


@node("Steps", title="Steps", category="x")
def steps(context: Context, *, value: Latent) -> Latent:
    """Take steps until stopped."""
    for done in range(1, 4):
        context.step(done, 3)
    return value


GATES: dict[str, threading.Event] = {}


@node("Save", title="Save", category="x", output_node=True)
def save(context: Context, *, value: Latent, text: str = "") -> Shown[Saved]:
    """Show a value later, when the gate named by the text is opened."""
    given: Any = value
    node_id = context.node_id

    def ui() -> JsonObject:
        if text in GATES:
            assert GATES[text].wait(20)
        CALLS.append(("Saved", threading.current_thread().name.partition("_")[0]))
        if text == "fails":
            raise OSError("the disk is full")
        if text == "stopped":
            raise Interrupted("cancelled")
        return {"text": [given.text], "node": node_id}

    return Shown(Saved(value), ui)


@node("Open", title="Open", category="x")
def open_gate(*, value: Latent, text: str) -> Latent:
    """Open a gate."""
    GATES[text].set()
    return value


FOUND: list[NodeType[..., Any]] = [
    source, split, join, show, fail, refuse, steps, save, open_gate,
]  # fmt: skip
TYPES = {found.schema.type: found for found in FOUND}
CATALOGUE = Catalogue({name: found.schema for name, found in TYPES.items()})


class World:
    """A context that stops at the second step if told to."""

    def __init__(self, node_id: str, stop: bool) -> None:
        self.node_id = node_id
        self.stop = stop

    def step(self, value: int, total: int, preview: Any = None) -> None:
        if self.stop and value == 2:
            raise Interrupted("cancelled", by="user")


class Heard:
    """Writes down what is reported."""

    def __init__(self, stop_before: str = "") -> None:
        self.news: list[tuple[str, Any]] = []
        self.stop_before = stop_before

    def cached(self, node_ids: tuple[str, ...]) -> None:
        self.news.append(("cached", node_ids))

    def started(self, node_id: str) -> None:
        if node_id == self.stop_before:
            GATES.get("fails", threading.Event()).set()
            raise Interrupted("cancelled")
        self.news.append(("started", node_id))

    def finished(self, node_id: str, ui: Any) -> None:
        self.news.append(("finished", node_id))

    def grown(self, *_: Any) -> None: ...

    blocked = check = grown


class Bench:
    """Executes graphs with one memory."""

    def __init__(self, bytes_max: int = 2**20) -> None:
        self.memory = ResultMemory(bytes_max)
        self.heard = Heard()

    def run(
        self, graph: dict[str, Any], *, scope: str = "", stop: bool = False, stop_before: str = ""
    ) -> Any:
        parsed = parse(graph)
        outputs = [one for one, body in graph.items() if body["class_type"] in ("Show", "Save")]
        CALLS.clear()
        self.heard = Heard(stop_before)
        return Executor(TYPES, self.memory).execute(
            parsed,
            plan(parsed, CATALOGUE, outputs),
            lambda node_id: World(node_id, stop),  # type: ignore[arg-type, return-value]
            self.heard,
            scope,
        )


def make(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def diamond(text: str = "a") -> dict[str, Any]:
    return {
        "show": make("Show", value=["join", 0]),
        "join": make("Join", first=["split", 1], second=["split", 0]),
        "split": make("Split", value=["source", 0]),
        "source": make("Source", text=text),
    }


def chain(*middle: dict[str, Any]) -> dict[str, Any]:
    nodes = {"0": make("Source", text="a")}
    for number, body in enumerate(middle, start=1):
        nodes[str(number)] = make(
            body["class_type"], **{**body["inputs"], "value": [str(number - 1), 0]}
        )
    return nodes | {"end": make("Show", value=[str(len(middle)), 0])}


@pytest.mark.covers("R065")
def test_each_needed_node_is_executed_once_after_what_it_needs():
    bench = Bench()
    graph = diamond() | {"unused": make("Source", text="nobody asks")}
    executed = bench.run(graph)
    assert CALLS == [
        ("Source", ("a", "default")),
        ("Split", "a"),
        ("Join", "aRaL"),
        ("Show", "aRaL"),
    ]
    assert executed.executed == ("source", "split", "join", "show")
    assert executed.cached == ()
    assert executed.ui == {"show": {"text": ["aRaL"], "node": "show"}}


def test_news_come_in_order():
    bench = Bench()
    bench.run(diamond())
    order = ("source", "split", "join", "show")
    assert bench.heard.news == [
        ("cached", ()),
        *((what, one) for one in order for what in ("started", "finished")),
    ]


def test_an_unchanged_graph_is_not_executed_again_and_shows_the_same():
    bench = Bench()
    first = bench.run(diamond())
    second = bench.run(diamond())
    assert CALLS == []
    assert second.executed == ()
    assert set(second.cached) == set(first.executed)
    assert second.ui == first.ui
    assert bench.heard.news == [("cached", second.cached), ("finished", "show")]


def test_only_what_changed_and_what_follows_is_executed_again():
    bench = Bench()
    graph = {
        "one": make("Source", text="a"),
        "two": make("Source", text="b"),
        "join": make("Join", first=["one", 0], second=["two", 0]),
        "show": make("Show", value=["join", 0]),
    }
    bench.run(graph)
    graph["two"] = make("Source", text="c")
    executed = bench.run(graph)
    assert executed.cached == ("one",)
    assert [name for name, _ in CALLS] == ["Source", "Join", "Show"]
    assert executed.ui["show"]["text"] == ["ac"]


def test_what_one_scope_made_is_not_handed_to_another():
    bench = Bench()
    bench.run(diamond(), scope="acme")
    assert bench.run(diamond(), scope="other").cached == ()
    assert len(bench.run(diamond(), scope="acme").cached) == 4


def test_memory_is_bounded_and_forgets_the_longest_unused():
    memory = ResultMemory(4000)
    for name in ("a", "b", "a", "c", "d"):
        if memory.get("", name) is None:
            memory.put("", name, Result((Value(name, 500),)))
    assert memory.fingerprints("") == ("c", "d")
    assert memory.bytes_used == 2 * 1524
    memory.put("", "huge", Result((Value("huge", 10_000),)))
    assert memory.get("", "huge") is None
    memory.free()
    assert memory.bytes_used == 0
    assert memory.fingerprints("") == ()


def test_a_forgotten_result_is_made_again():
    bench = Bench(bytes_max=0)
    bench.run(diamond())
    assert bench.run(diamond()).cached == ()
    assert bench.memory.bytes_used == 0


def test_values_are_let_go_when_nobody_needs_them_any_more():
    MADE.clear()
    alive: list[int] = []

    class Counting(Heard):
        def started(self, node_id: str) -> None:
            gc.collect()
            alive.append(sum(one() is not None for one in MADE))

    graph = {"0": make("Source", text="a")}
    for number in range(1, 9):
        graph[str(number)] = make("Split", value=[str(number - 1), 0])
    whole: Any = graph | {"end": make("Show", value=["8", 0])}
    parsed = parse(whole)
    Executor(TYPES, ResultMemory(0)).execute(
        parsed,
        plan(parsed, CATALOGUE, ["end"]),
        lambda node_id: World(node_id, stop=False),  # type: ignore[arg-type, return-value]
        Counting(),
    )
    assert len(MADE) == 17
    assert max(alive) <= 4


def test_a_failure_names_the_node_and_what_it_was_given():
    bench = Bench()
    long = "w" * 500
    with pytest.raises(NodeFailed) as failed:
        bench.run(chain(make("Fail", text=long)))
    told = failed.value
    assert (told.node_id, told.node_type) == ("1", "Fail")
    assert told.exception_type == "ZeroDivisionError"
    assert told.exception_message == "nothing to divide by"
    assert told.executed == ("0",)
    assert any("in fail" in line for line in told.traceback)
    assert told.current_inputs == {"value": ["Value"], "model": [None], "text": [long[:200]]}
    assert SUMMARY_CHARACTERS_MAX == 200
    assert told.retryable
    assert bench.heard.news[-1] == ("started", "1")


def test_a_refusal_is_not_worth_another_attempt():
    with pytest.raises(NodeFailed) as failed:
        Bench().run(chain(make("Refuse")))
    assert not failed.value.retryable
    assert failed.value.exception_type == "libs.core.errors.Refused"
    assert "maximum=9" in failed.value.exception_message


def test_a_failure_keeps_no_value_alive():
    MADE.clear()
    run = Bench(bytes_max=0).run
    with pytest.raises(NodeFailed) as failed:
        run(chain(make("Fail")))
    error = failed.value.with_traceback(None)
    del failed
    gc.collect()
    assert error.__cause__ is None
    assert error.__context__ is None
    assert MADE
    assert MADE[-1]() is None


def test_what_finished_before_a_failure_is_remembered():
    bench = Bench()
    with pytest.raises(NodeFailed):
        bench.run(chain(make("Fail")))
    assert bench.run(chain()).cached == ("0",)


def test_an_interrupt_in_a_step_names_the_node():
    bench = Bench()
    with pytest.raises(Interrupted) as stopped:
        bench.run(chain(make("Steps")), stop=True)
    assert stopped.value.facts == {"by": "user", "node_id": "1", "node_type": "Steps"}
    assert bench.run(chain(make("Steps"))).executed == ("1", "end")


def test_an_interrupt_between_nodes_starts_nothing_more():
    bench = Bench()
    with pytest.raises(Interrupted):
        bench.run(diamond(), stop_before="join")
    assert [name for name, _ in CALLS] == ["Source", "Split"]


def test_the_executor_knows_no_torch():
    program = (
        "import sys, services.gpu_worker.executor; "
        "print(sorted({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[4],
    )
    assert told.stdout.strip() == "[]"
