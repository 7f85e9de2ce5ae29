"""The graph of one execution: what the client sent, and the nodes that nodes put in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from libs.core.errors import Refused
from libs.core.jsonvalue import Json
from libs.graph.parse import LINK_PARTS
from libs.graph.schema import Catalogue, NodeSchema
from libs.graph.sockets import slot_index
from libs.graph.value import Graph, Link, Node
from libs.graph.walk import links_of

# A loop that never ends stops here.
EXPANDED_NODES_MAX: Final = 10_000
# Each of them is an event, and may wait for the verdict on one before it.
EXPANDED_OUTPUTS_MAX: Final = 2_000
EXPANDED_ID_CHARACTERS_MAX: Final = 1_024
DISPLAY_KEY: Final = "override_display_id"


@dataclass(frozen=True)
class Place:
    """Where a node belongs: to the node that shows it, to its maker, and to the client's own."""

    display: str
    parent: str | None
    real: str


class GrowingGraph:
    """Nodes by id; those of the client stand for themselves, all others have a parent."""

    def __init__(self, original: Graph, catalogue: Catalogue) -> None:
        self.original = original
        self.catalogue = catalogue
        self._grown: dict[str, Node] = {}
        self._outputs = 0
        self._places: dict[str, Place] = {}
        self._sources: dict[tuple[str, bool], tuple[str, ...]] = {}

    def __contains__(self, node_id: object) -> bool:
        return node_id in self.original.nodes or node_id in self._grown

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids of all nodes, the client's own first."""
        return (*self.original.nodes, *self._grown)

    def node(self, node_id: str) -> Node:
        """Return a node; KeyError if there is none."""
        found = self.original.nodes.get(node_id)
        return self._grown[node_id] if found is None else found

    def schema(self, node_id: str) -> NodeSchema:
        """Return the type of a node."""
        return self.catalogue.types[self.node(node_id).type]

    def place(self, node_id: str) -> Place:
        """Return where a node belongs."""
        return self._places.get(node_id) or Place(node_id, None, node_id)

    def is_grown(self, node_id: str) -> bool:
        """Say whether an expansion made the node."""
        return node_id in self._grown

    def grow(self, parent_id: str, nodes: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
        """Put nodes, given as in a prompt, into the place of `parent_id`; return their ids.

        Their inputs may hold any values beside links. Raise Refused for what cannot be executed.
        """
        parent = self.place(parent_id)
        if len(self._grown) + len(nodes) > EXPANDED_NODES_MAX:
            raise Refused("the workflow expands into too many nodes", maximum=EXPANDED_NODES_MAX)
        for node_id, body in nodes.items():
            shown = str(body.get(DISPLAY_KEY) or parent_id)
            self._grown[node_id] = self._read(node_id, body)
            self._outputs += self.schema(node_id).output_node
            display = self.place(shown).display if shown in self else parent.display
            self._places[node_id] = Place(display, parent_id, parent.real)
        if self._outputs > EXPANDED_OUTPUTS_MAX:
            raise Refused(
                "the workflow expands into too many output nodes", maximum=EXPANDED_OUTPUTS_MAX
            )
        for node_id in nodes:
            self._require_sources(node_id)
        return tuple(nodes)

    def sources(self, node_id: str, *, lazy: bool = True) -> tuple[str, ...]:
        """Return what a node needs directly, each once; without `lazy`, what it surely needs."""
        known = self._sources.get((node_id, lazy))
        if known is None:
            node = self.node(node_id)
            links = links_of(node, self.catalogue.types[node.type])
            found = (
                link.node_id for spec, _, link in links if lazy or spec is None or not spec.lazy
            )
            known = self._sources[node_id, lazy] = tuple(dict.fromkeys(found))
        return known

    def _read(self, node_id: str, body: Mapping[str, Any]) -> Node:
        if node_id in self:
            raise Refused("an expansion made a node twice", node=node_id)
        if len(node_id) > EXPANDED_ID_CHARACTERS_MAX:
            raise Refused(
                "the id of an expanded node is too long", maximum=EXPANDED_ID_CHARACTERS_MAX
            )
        kind = body.get("class_type")
        if kind not in self.catalogue.types:
            raise Refused(f"Node '{kind}' not found. The custom node may not be installed.")
        inputs = {name: as_link(value) for name, value in (body.get("inputs") or {}).items()}
        return Node(node_id, str(kind), cast("Mapping[str, Json | Link]", inputs))

    def _require_sources(self, node_id: str) -> None:
        node = self.node(node_id)
        for _, name, link in links_of(node, self.catalogue.types[node.type]):
            if link.node_id not in self or slot_index(self.schema(link.node_id), link.slot) is None:
                raise Refused(
                    "an expanded node is linked to what is not there",
                    node=node_id,
                    input=name,
                    source=link.node_id,
                    slot=link.slot,
                )


def as_link(value: object) -> object:
    """Return the link that a value of an expansion stands for; any other value stays as it is."""
    if not isinstance(value, list | Link) or isinstance(value, Link):
        return value
    return _link(value) or value


def _link(value: Sequence[object]) -> Link | None:
    if len(value) != LINK_PARTS:
        return None
    source, slot = value
    if not isinstance(source, str) or not isinstance(slot, int | float) or isinstance(slot, bool):
        return None
    return Link(source, int(slot))
