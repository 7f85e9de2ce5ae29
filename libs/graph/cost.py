"""How much work a graph is, before it is executed: what billing puts a price on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libs.graph.effective import number
from libs.graph.extent import Extent
from libs.graph.reach import Reach
from libs.graph.schema import NodeSchema
from libs.graph.sockets import types_of
from libs.graph.value import Graph, Node

STEPS_UNKNOWN: Final = 50
# What sampling makes; a solid counts like a picture of the usual size.
SAMPLED_TYPES: Final = frozenset({"LATENT", "MESH"})


@dataclass(frozen=True)
class Work:
    """Denoised megapixels summed over the steps; pictures put out; the largest picture."""

    megapixel_steps: float
    images: int
    steps: int
    width: int
    height: int


def work(reach: Reach) -> Work:
    """Estimate the work of a checked graph; what cannot be known counts high rather than low."""
    known = reach.extents
    steps_of = _steps_by_node(reach)
    sampled = {n: steps for n, steps in steps_of.items() if _samples(reach, n)}
    put_out = [known[root] for root in reach.outputs if root in known]
    largest = max(put_out, key=lambda e: e.width * e.height, default=Extent(0, 0))
    return Work(
        megapixel_steps=sum(
            known.get(n, Extent()).megapixels * steps for n, steps in sampled.items()
        ),
        images=sum(extent.batch * extent.frames for extent in put_out),
        steps=sum(sampled.values()),
        width=largest.width,
        height=largest.height,
    )


def counts_steps(schema: NodeSchema) -> bool:
    """Say whether a type's `steps` are sampling steps, rather than a note about them."""
    made = {part for output in schema.outputs for part in types_of(output.type)}
    return not made.isdisjoint(SAMPLED_TYPES | {"SIGMAS"}) or any(
        spec.type == "MODEL" for spec in schema.inputs
    )


def _steps_by_node(reach: Reach) -> dict[str, int]:
    """Return the steps of samplers, and of the schedules that samplers are wired to."""
    steps: dict[str, int] = {}
    for node_id, sources in reach.sources.items():
        node = reach.graph.nodes[node_id]
        schema = reach.catalogue.types[node.type]
        if schema.input("steps") is not None and counts_steps(schema):
            steps[node_id] = _own_steps(reach.graph, node, schema)
        elif any(spec.type == "SIGMAS" for spec in schema.inputs):
            incoming = [steps[source] for source in sources if source in steps]
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


def _samples(reach: Reach, node_id: str) -> bool:
    schema = reach.catalogue.types[reach.graph.nodes[node_id].type]
    return any(not SAMPLED_TYPES.isdisjoint(types_of(output.type)) for output in schema.outputs)
