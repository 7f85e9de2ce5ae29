"""Which nodes are executed, in which order, and what names the result of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from libs.graph.fingerprint import Contents, Fingerprints
from libs.graph.schema import Catalogue
from libs.graph.value import Graph
from libs.graph.walk import needed


@dataclass(frozen=True)
class Plan:
    """The needed nodes, each after what it needs; the outputs; a content name per node.

    Equal fingerprints mean equal results: node type, literals and everything upstream are equal.
    Node ids do not count, except for node types that ask for their own id. A node without a
    fingerprint is executed every time. `contents` and `changes` are as `plan` took them.
    """

    order: tuple[str, ...]
    outputs: tuple[str, ...]
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    contents: Contents = field(default_factory=dict)
    changes: Mapping[str, object] = field(default_factory=dict)


def plan(
    graph: Graph,
    catalogue: Catalogue,
    outputs: Sequence[str],
    contents: Contents | None = None,
    changes: Mapping[str, object] | None = None,
) -> Plan:
    """Plan the execution of a checked graph.

    `contents` maps `(choices, name)` of files, as in `("checkpoints", "a.safetensors")`, to their
    digests, so that a file replaced under its old name changes what depends on it. `changes` is
    what node types say of themselves, by node: another value means another result, NaN always.
    """
    order = needed(graph, catalogue, outputs)
    named = Fingerprints(graph.nodes.__getitem__, catalogue, contents)
    named.add(order, changes)
    found = {node_id: named.of(node_id) for node_id in order}
    fingerprints = {node_id: name for node_id, name in found.items() if name is not None}
    return Plan(order, tuple(outputs), fingerprints, contents or {}, changes or {})
