"""The graph that is executed, as packs ask about it, and what builds nodes for an expansion."""

from __future__ import annotations

from typing import Any

from libs.core.jsonvalue import JsonObject
from libs.graph.growing import GrowingGraph
from libs.graph.value import BrokenLink, Link, Node
from libs.nodes.expansion import prefix_of
from libs.nodes.packs.present import present


class PackGraph:
    """What a hidden input of type DYNPROMPT receives."""

    def __init__(self, graph: GrowingGraph) -> None:
        self._graph = graph

    def get_node(self, node_id: str) -> JsonObject:
        """Return a node as it stands in a prompt; KeyError if there is none."""
        return _as_prompt(self._graph.node(node_id))

    def has_node(self, node_id: str) -> bool:
        """Say whether there is such a node."""
        return node_id in self._graph

    def all_node_ids(self) -> set[str]:
        """Return the ids of all nodes."""
        return set(self._graph.ids)

    def get_original_prompt(self) -> JsonObject:
        """Return the nodes that the client sent."""
        nodes = self._graph.original.nodes
        return {node_id: _as_prompt(node) for node_id, node in nodes.items()}

    def get_real_node_id(self, node_id: str) -> str:
        """Return the client's own node behind one that an expansion made."""
        return self._graph.place(node_id).real

    def get_parent_node_id(self, node_id: str) -> str | None:
        """Return the node whose expansion made this one."""
        return self._graph.place(node_id).parent

    def get_display_node_id(self, node_id: str) -> str:
        """Return the node that shows this one."""
        return self._graph.place(node_id).display


def _as_prompt(node: Node) -> JsonObject:
    inputs: dict[str, Any] = {}
    for name, value in node.inputs.items():
        if isinstance(value, BrokenLink):
            continue
        inputs[name] = [value.node_id, value.slot] if isinstance(value, Link) else value
    return {"class_type": node.type, "inputs": inputs}


class BuiltNode:
    """One node of an expansion that is being built."""

    def __init__(self, node_id: str, class_type: str, inputs: dict[str, Any]) -> None:
        self.id = node_id
        self.class_type = class_type
        self.inputs = inputs
        self.override_display_id: str | None = None

    def out(self, index: int) -> list[Any]:
        """Return what wires an output of the node to another one."""
        return [self.id, index]

    def set_input(self, key: str, value: Any) -> None:
        """Write or wire an input; None takes it away."""
        if value is None:
            self.inputs.pop(key, None)
        else:
            self.inputs[key] = value

    def get_input(self, key: str) -> Any:
        """Return what was written or wired to an input."""
        return self.inputs.get(key)

    def set_override_display_id(self, override_display_id: str) -> None:
        """Let another node show this one."""
        self.override_display_id = override_display_id

    def serialize(self) -> dict[str, Any]:
        """Return the node as it stands in a prompt."""
        body: dict[str, Any] = {"class_type": self.class_type, "inputs": self.inputs}
        if self.override_display_id is not None:
            body["override_display_id"] = self.override_display_id
        return body


class GraphBuilder:
    """Builds the nodes of one expansion, under ids that no other node has."""

    def __init__(self, prefix: str | None = None) -> None:
        self.prefix = self.alloc_prefix() if prefix is None else prefix
        self.nodes: dict[str, BuiltNode] = {}

    @classmethod
    def alloc_prefix(cls) -> str:
        """Return how the ids of the next graph of this call begin."""
        now = present()
        if now is None or now.context is None:
            return ""
        now.graphs += 1
        return prefix_of(now.context.node_id, graph=now.graphs - 1)

    def node(self, class_type: str, id: str | None = None, **inputs: Any) -> BuiltNode:
        """Return a new node, or the one that has this id already."""
        node_id = self.prefix + (str(len(self.nodes) + 1) if id is None else str(id))
        if node_id not in self.nodes:
            self.nodes[node_id] = BuiltNode(node_id, class_type, inputs)
        return self.nodes[node_id]

    def lookup_node(self, id: str) -> BuiltNode | None:
        """Return a node by the id that it was given."""
        return self.nodes.get(self.prefix + id)

    def finalize(self) -> dict[str, Any]:
        """Return the nodes as an expansion has them."""
        return {node_id: node.serialize() for node_id, node in self.nodes.items()}

    def replace_node_output(self, node_id: str, index: int, new_value: Any) -> None:
        """Put something else wherever an output was wired to."""
        wired = [self.prefix + node_id, index]
        for node in self.nodes.values():
            for name, value in list(node.inputs.items()):
                if value == wired:
                    node.set_input(name, new_value)

    def remove_node(self, id: str) -> None:
        """Take a node out."""
        del self.nodes[self.prefix + id]


def is_link(obj: object) -> bool:
    """Say whether a value stands for what another node puts out."""
    if not isinstance(obj, list) or len(obj) != 2:
        return False
    return isinstance(obj[0], str) and type(obj[1]) in (int, float)
