"""Which nodes are executed, in which order, and what names the result of each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from libs.core.jsonvalue import Json
from libs.graph.effective import effective_inputs
from libs.graph.render import canonical
from libs.graph.schema import Catalogue, NodeSchema
from libs.graph.sockets import slot_index
from libs.graph.value import BrokenLink, Graph, Link, Node
from libs.graph.walk import needed

Contents: TypeAlias = Mapping[tuple[str, str], str]
KNOWS_ITS_PLACE: Final = frozenset({"UNIQUE_ID", "DYNPROMPT"})


@dataclass(frozen=True)
class Plan:
    """The needed nodes, each after what it needs; the outputs; a content name per node.

    Equal fingerprints mean equal results: node type, literals and everything upstream are equal.
    Node ids do not count, except for node types that ask for their own id.
    """

    order: tuple[str, ...]
    outputs: tuple[str, ...]
    fingerprints: Mapping[str, str] = field(default_factory=dict)


def plan(
    graph: Graph,
    catalogue: Catalogue,
    outputs: Sequence[str],
    contents: Contents | None = None,
) -> Plan:
    """Plan the execution of a checked graph.

    `contents` maps `(choices, name)` of files, as in `("checkpoints", "a.safetensors")`, to their
    digests, so that a file replaced under its old name changes what depends on it.
    """
    order = needed(graph, catalogue, outputs)
    fingerprints: dict[str, str] = {}
    known = _Known(graph, catalogue, fingerprints, contents or {})
    for node_id in order:
        node = graph.nodes[node_id]
        schema = catalogue.types[node.type]
        digest = hashlib.sha256(canonical(_signature(node, schema, known)))
        fingerprints[node_id] = digest.hexdigest()
    return Plan(order, tuple(outputs), fingerprints)


@dataclass(frozen=True)
class _Known:
    graph: Graph
    catalogue: Catalogue
    fingerprints: Mapping[str, str]
    contents: Contents


def _signature(node: Node, schema: NodeSchema, known: _Known) -> Json:
    inputs: list[Json] = []
    for name, value in sorted(effective_inputs(node, schema).items()):
        spec = schema.input(name)
        choices = spec.choices if spec else None
        inputs.append([name, _ingredient(value, choices, known)])
    place = node.id if KNOWS_ITS_PLACE.intersection(schema.hidden.values()) else None
    return [node.type, inputs, place]


def _ingredient(value: Json | Link, choices: str | None, known: _Known) -> Json:
    if isinstance(value, BrokenLink):
        return ["value", value.received]
    if isinstance(value, Link):
        source = known.graph.nodes[value.node_id]
        slot = slot_index(known.catalogue.types[source.type], value.slot)
        return ["node", known.fingerprints[value.node_id], slot]
    if choices is not None and isinstance(value, str):
        return ["file", value, known.contents.get((choices, value))]
    return ["value", value]
