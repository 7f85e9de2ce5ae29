"""A list on a wire: who takes one value is executed for each, who takes lists is executed once."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import pytest

from libs.graph.parse import parse
from libs.graph.plan import plan
from libs.graph.schema import Catalogue
from libs.nodes.declare import NodeType, Shown, node
from libs.nodes.dialects import object_info_entry
from services.gpu_worker.executor import Executor
from services.gpu_worker.failing import NodeFailed
from services.gpu_worker.results import ResultMemory
from services.gpu_worker.several import Several
from tests.unit.services.gpu_worker.test_executor import Heard


class Pair(NamedTuple):
    words: list[str]
    COUNT: int


@node("Words", title="Words", category="x")
def words(*, text: str) -> Pair:
    """Cut a text into words."""
    found = text.split()
    return Pair(found, len(found))


@node("Louder", title="Louder", category="x")
def louder(*, text: str, mark: str = "!") -> str:
    """Add a mark to a word."""
    if text == "break":
        raise ValueError("broken")
    return text + mark


@node("Joined", title="Joined", category="x", takes_lists=True)
def joined(*, texts: list[str], between: list[str]) -> str:
    """Join words."""
    return between[0].join(texts)


@node("Show", title="Show", category="x", output_node=True)
def show(*, text: str, later: bool = False) -> Shown[None]:
    """Show a word, now or when it was made."""
    shown: Any = {"texts": [text], "last": text}
    return Shown(None, (lambda: shown) if later else shown)


TYPES: dict[str, NodeType[..., Any]] = {
    found.schema.type: found for found in (words, louder, joined, show)
}


def run(graph: dict[str, Any], memory: ResultMemory | None = None) -> Any:
    prompt = {
        name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in graph.items()
    }
    parsed = parse(cast("Any", prompt))
    catalogue = Catalogue({name: found.schema for name, found in TYPES.items()})
    outputs = [name for name, (kind, _) in graph.items() if kind == "Show"]
    context: Any = None
    return Executor(TYPES, memory or ResultMemory(2**20)).execute(
        parsed, plan(parsed, catalogue, outputs), lambda _: context, Heard()
    )


def shown(graph: dict[str, Any]) -> Any:
    return run(graph).ui["show"]["texts"]


WORDS = {"words": ("Words", {"text": "one two three"})}


@pytest.mark.parametrize("later", [False, True])
def test_a_node_is_executed_for_each_value_of_a_list(later):
    graph = WORDS | {
        "louder": ("Louder", {"text": ["words", 0]}),
        "show": ("Show", {"text": ["louder", 0], "later": later}),
    }
    ui = run(graph).ui["show"]
    assert ui == {"texts": ["one!", "two!", "three!"], "last": "three!"}


def test_a_node_that_takes_lists_is_executed_once():
    graph = WORDS | {
        "joined": ("Joined", {"texts": ["words", 0], "between": "+"}),
        "show": ("Show", {"text": ["joined", 0]}),
    }
    assert shown(graph) == ["one+two+three"]


def test_the_last_value_of_a_shorter_list_stays():
    graph = WORDS | {
        "marks": ("Words", {"text": "! ?"}),
        "louder": ("Louder", {"text": ["words", 0], "mark": ["marks", 0]}),
        "show": ("Show", {"text": ["louder", 0]}),
    }
    assert shown(graph) == ["one!", "two?", "three?"]


def test_an_empty_list_is_no_execution():
    graph = {
        "words": ("Words", {"text": " "}),
        "louder": ("Louder", {"text": ["words", 0]}),
        "joined": ("Joined", {"texts": ["louder", 0], "between": ","}),
        "show": ("Show", {"text": ["joined", 0]}),
    }
    assert shown(graph) == [""]


def test_lists_of_several_executions_become_one():
    graph = WORDS | {
        "again": ("Words", {"text": ["words", 0]}),
        "joined": ("Joined", {"texts": ["again", 0], "between": ","}),
        "show": ("Show", {"text": ["joined", 0]}),
    }
    assert shown(graph) == ["one,two,three"]


def test_a_failure_in_one_of_several_is_the_nodes():
    graph = {
        "words": ("Words", {"text": "fine break fine"}),
        "louder": ("Louder", {"text": ["words", 0]}),
        "show": ("Show", {"text": ["louder", 0]}),
    }
    with pytest.raises(NodeFailed) as failed:
        run(graph)
    assert failed.value.node_id == "louder"
    assert failed.value.exception_message == "broken"


def test_a_list_takes_what_its_values_take():
    class Large:
        size_bytes = 7

    assert Several((Large(), Large(), "small")).size_bytes == 14


def test_clients_are_told_which_wires_hold_lists():
    catalogue = Catalogue({name: found.schema for name, found in TYPES.items()})
    entry = object_info_entry(words.schema, catalogue)
    assert entry["output_is_list"] == [True, False]
    assert entry["is_input_list"] is False
    assert object_info_entry(joined.schema, catalogue)["is_input_list"] is True
