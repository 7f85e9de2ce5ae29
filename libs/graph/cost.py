"""How much work a graph is, before it is executed: what billing puts a price on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from libs.graph.effective import number
from libs.graph.extent import Extent, extents
from libs.graph.schema import Catalogue, NodeSchema
from libs.graph.sockets import types_of
from libs.graph.value import Graph, Node
from libs.graph.walk import needed, output_nodes, sources_of

STEPS_UNKNOWN: Final = 50


@dataclass(frozen=True)
class Work:
    """Denoised megapixels summed over the steps; pictures put out; the largest picture."""

    megapixel_steps: float
    images: int
    steps: int
    width: int
    height: int


def work(graph: Graph, catalogue: Catalogue, outputs: Sequence[str] | None = None) -> Work:
    """Estimate the work of a checked graph; what cannot be known counts high rather than low."""
    roots = output_nodes(graph, catalogue) if outputs is None else tuple(outputs)
    order = needed(graph, catalogue, roots)
    known = extents(graph, catalogue, order)
    steps_of = _steps_by_node(graph, catalogue, order)
    sampled = {n: steps for n, steps in steps_of.items() if _samples(graph, catalogue, n)}
    put_out = [known[root] for root in roots if root in known]
    largest = max(put_out, key=lambda e: e.width * e.height, default=Extent(0, 0))
    return Work(
        megapixel_steps=sum(known[n].megapixels * steps for n, steps in sampled.items()),
        images=sum(extent.batch * extent.frames for extent in put_out),
        steps=sum(sampled.values()),
        width=largest.width,
        height=largest.height,
    )


def counts_steps(schema: NodeSchema) -> bool:
    """Say whether a type's `steps` are sampling steps, rather than a note about them."""
    made = {part for output in schema.outputs for part in types_of(output.type)}
    return not made.isdisjoint({"LATENT", "SIGMAS"}) or any(
        spec.type == "MODEL" for spec in schema.inputs
    )


def _steps_by_node(graph: Graph, catalogue: Catalogue, order: Sequence[str]) -> dict[str, int]:
    """Return the steps of samplers, and of the schedules that samplers are wired to."""
    steps: dict[str, int] = {}
    for node_id in order:
        node = graph.nodes[node_id]
        schema = catalogue.types[node.type]
        if schema.input("steps") is not None and counts_steps(schema):
            steps[node_id] = _own_steps(graph, node, schema)
        elif any(spec.type == "SIGMAS" for spec in schema.inputs):
            incoming = [steps[s] for s in sources_of(node, graph, catalogue) if s in steps]
            steps[node_id] = max(incoming, default=STEPS_UNKNOWN)
    return steps


def _own_steps(graph: Graph, node: Node, schema: NodeSchema) -> int:
    steps = number(graph, node, schema, "steps")
    if steps is None:
        return STEPS_UNKNOWN
    start = number(graph, node, schema, "start_at_step") or 0
    end = number(graph, node, schema, "end_at_step")
    last = steps if end is None else min(steps, end)
    return max(0, int(last) - int(start))


def _samples(graph: Graph, catalogue: Catalogue, node_id: str) -> bool:
    schema = catalogue.types[graph.nodes[node_id].type]
    return any("LATENT" in types_of(output.type) for output in schema.outputs)
