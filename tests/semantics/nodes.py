"""Test nodes of our own that show each thing which an executor of graphs must be able to do.

They are no part of the product: `tests/semantics/plugged` on PYTHONPATH adds them to a house.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from libs.graph.growing import GrowingGraph
from libs.nodes.context import Context
from libs.nodes.declare import NodeType, Shown, Widget, node
from libs.nodes.expansion import Blocked, Expanded, Subgraph, out

CALLS: list[tuple[str, Any]] = []
CHANGES: dict[str, Any] = {}
ASYNC_SECONDS_MAX = 20


class Item(NamedTuple):
    word: str
    COUNT: int


@node("Word", title="Word", category="test")
def word(*, text: str) -> str:
    """Return a text."""
    CALLS.append(("Word", text))
    return text


@node("Add", title="Add", category="test")
def add(*, one: str, two: str | None = None) -> str:
    """Put texts together."""
    both = one if two is None else one + two
    CALLS.append(("Add", both))
    return both


@node("Tell", title="Tell", category="test", output_node=True)
def tell(*, text: object) -> Shown[None]:
    """Show a text."""
    CALLS.append(("Tell", text))
    return Shown(None, {"text": [str(text)]})


def _chosen(*, switch: bool, on_false: object, on_true: object) -> Sequence[str]:
    name = "on_true" if switch else "on_false"
    return [name] if {"on_true": on_true, "on_false": on_false}[name] is None else []


@node("Choose", title="Choose", category="test", wants=_chosen)
def choose(
    *,
    switch: bool,
    on_false: Annotated[object | None, Widget(lazy=True)] = None,
    on_true: Annotated[object | None, Widget(lazy=True)] = None,
) -> object:
    """Pass on one of two, and have only that one made."""
    CALLS.append(("Choose", (on_false, on_true)))
    return on_true if switch else on_false


@node("Count", title="Count", category="test")
def count(*, to: int) -> list[object]:
    """Return the numbers up to one."""
    return list(range(1, to + 1))


@node("Gather", title="Gather", category="test", takes_lists=True)
def gather(*, items: list[object], between: list[str]) -> str:
    """Put a list together."""
    CALLS.append(("Gather", list(items)))
    return between[0].join(map(str, items))


@node("Stop", title="Stop", category="test")
def stop(*, value: object, when: object, message: str | None = None) -> object | Blocked:
    """Hold up what follows one value."""
    return Blocked(message) if value == when else value


@node("Twice", title="Twice", category="test", expands=True)
def twice(context: Context, *, text: str) -> str | Expanded:
    """Put a text behind itself, by two nodes in its place."""
    graph = Subgraph(context.node_id)
    made = graph.add("Word", "word", text=text)
    return graph.expanded(out(graph.add("Add", "add", one=out(made), two=out(made))))


@node("Shout", title="Shout", category="test", expands=True)
def shout(context: Context, *, text: object) -> object | Expanded:
    """Show a text by a node in its place, and pass it on."""
    graph = Subgraph(context.node_id)
    graph.add("Tell", "tell", text=text)
    return graph.expanded(text)


@node("Loop", title="Loop", category="test", expands=True)
def loop(context: Context, *, text: str, times: int) -> str | Expanded:
    """Add a mark so many times, each time in the place of the one before."""
    if times <= 0:
        return text
    graph = Subgraph(context.node_id)
    longer = graph.add("Add", "add", one=text, two="!")
    again = graph.add("Loop", "loop", text=out(longer), times=times - 1)
    return graph.expanded(out(again))


@node("Ring", title="Ring", category="test", expands=True)
def ring(context: Context) -> str | Expanded:
    """Expand into nodes that wait for each other."""
    graph = Subgraph(context.node_id)
    first = graph.add("Add", "a", one=["", 0])
    second = graph.add("Add", "b", one=out(first))
    graph.nodes[first]["inputs"]["one"] = [second, 0]
    return graph.expanded(out(second))


@node("Many", title="Many", category="test", expands=True)
def many(context: Context, *, number: int, class_type: str | None = None) -> object | Expanded:
    """Expand into many nodes."""
    graph = Subgraph(context.node_id)
    for place in range(number):
        graph.add(class_type or "Word", text=f"{place}")
    return graph.expanded(number)


class Meeting:
    """Async nodes that end only when all have begun."""

    def __init__(self) -> None:
        self.expected = 0
        self.come = 0
        self.everybody: asyncio.Event | None = None

    async def wait(self) -> None:
        """Wait for the others."""
        if self.everybody is None:
            self.everybody = asyncio.Event()
        self.come += 1
        if self.come == self.expected:
            self.everybody.set()
        await asyncio.wait_for(self.everybody.wait(), ASYNC_SECONDS_MAX)


MEETINGS: dict[str, Meeting] = {}


@node("Meet", title="Meet", category="test")
async def meet(context: Context, *, name: str, text: str) -> str:
    """Return a text when everybody has come."""
    CALLS.append(("Meet", text))
    context.step(1, 2)
    await MEETINGS[name].wait()
    return text


@node("Late", title="Late", category="test")
async def late(*, text: str) -> str:
    """Fail, or never end."""
    await asyncio.sleep(0 if text == "fail" else 3600)
    raise ValueError("too late")


def _change(*, name: str, wired: object = None) -> object:
    CALLS.append(("changes", (name, wired)))
    if name == "breaks":
        raise ValueError("nobody knows")
    return CHANGES.get(name, math.nan)


@node("Weather", title="Weather", category="test", changes=_change)
def weather(*, name: str, wired: str | None = None) -> str:
    """Return what changes by itself."""
    CALLS.append(("Weather", name))
    return f"{name}{wired or ''}"


def _small(*, level: int) -> bool | str:
    return level < 5 or f"{level} is too much"


@node("Level", title="Level", category="test", judge=_small)
def level(*, level: Annotated[int, Widget(min=0, max=3)], other: int | None = 1) -> int:
    """Return a level."""
    return level


def _all_even(**inputs: int) -> bool | str:
    if any(value < 0 for value in inputs.values()):
        raise ValueError("negative")
    return all(value % 2 == 0 for value in inputs.values())


@node("Even", title="Even", category="test", judge=_all_even)
def even(*, one: Annotated[int, Widget(max=3)], two: Annotated[int, Widget(max=3)] = 2) -> int:
    """Return a sum of even numbers."""
    return one + two


def _any_text(*, input_types: dict[str, str]) -> bool | str:
    return input_types.get("value", "INT") == "INT" or f"{input_types['value']} is no number"


@node("Number", title="Number", category="test", judge=_any_text)
def number(*, value: Annotated[float, Widget(socket=True)]) -> float:
    """Return a number, and look at what is wired to it itself."""
    return float(value)


@node(
    "Self",
    title="Self",
    category="test",
    hidden={"me": "UNIQUE_ID", "graph": "DYNPROMPT", "whole": "PROMPT", "png": "EXTRA_PNGINFO"},
)
def myself(*, text: str, me: str, graph: GrowingGraph, whole: Any, png: Any) -> str:
    """Return what a node knows of itself."""
    return f"{me} {graph.node(me).type} {sorted(whole)} {png} {text}"


FOUND: Sequence[NodeType[..., Any]] = (
    word, add, tell, choose, count, gather, stop, twice, shout, loop, ring, many, meet, late,
    weather, level, even, number, myself,
)  # fmt: skip
TYPES = {found.schema.type: found for found in FOUND}
