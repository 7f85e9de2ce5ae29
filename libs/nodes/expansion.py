"""What a node may return beside its values: that there are none, or nodes to be executed instead."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from libs.core.jsonvalue import JsonObject
from libs.graph.value import Link

# Which of several executions of one node this is: a node is executed for each value of a list.
CALL_NUMBER: Final[ContextVar[int]] = ContextVar("call_number", default=0)
# Nodes within nodes within nodes would have ever longer ids.
PARENT_CHARACTERS_MAX: Final = 100
DIGEST_CHARACTERS: Final = 16


@dataclass(frozen=True)
class Blocked:
    """Stands where a value would: what needs it is not executed.

    A message is told to the client, at the first node that is held up, and the run goes on.
    """

    message: str | None = None


@dataclass(frozen=True)
class Expanded:
    """Nodes to be executed in place of the one that returns them.

    `nodes` are given as in a prompt: `{id: {"class_type": ..., "inputs": {...}}}`, under ids that
    no other node has; `override_display_id` names another node that shows one. Inputs may hold
    any value, and link to any node of the graph. `outputs` are the values of the expanding node,
    in order; a `Link` or `[id, slot]` stands for what that node puts out.
    """

    nodes: Mapping[str, Mapping[str, Any]]
    outputs: tuple[object, ...] | Blocked = ()
    ui: JsonObject | None = None


def prefix_of(node_id: str, call: int | None = None, graph: int = 0) -> str:
    """Return how the ids of nodes begin that a node expands into, unique for each of its calls."""
    number = CALL_NUMBER.get() if call is None else call
    if len(node_id) > PARENT_CHARACTERS_MAX:
        digest = hashlib.sha256(node_id.encode()).hexdigest()[:DIGEST_CHARACTERS]
        node_id = f"{node_id.partition('.')[0][:PARENT_CHARACTERS_MAX]}.{digest}"
    return f"{node_id}.{number}.{graph}."


@dataclass
class Subgraph:
    """Builds the nodes of one expansion; `parent` is the id of the node that expands."""

    parent: str
    graph: int = 0
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    _prefix: str = ""

    def __post_init__(self) -> None:
        self._prefix = prefix_of(self.parent, graph=self.graph)

    def add(self, class_type: str, name: str = "", **inputs: object) -> str:
        """Add a node and return its id; `name` keeps it the same when others come and go."""
        node_id = self._prefix + (name or str(len(self.nodes) + 1))
        self.nodes[node_id] = {"class_type": class_type, "inputs": dict(inputs)}
        return node_id

    def expanded(self, *outputs: object) -> Expanded:
        """Return what the node returns."""
        return Expanded(self.nodes, outputs)


def out(node_id: str, slot: int = 0) -> Link:
    """Return what a node puts out, to be wired to another one."""
    return Link(node_id, slot)
