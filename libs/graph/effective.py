"""What a node is really executed with: written values, wires, and defaults for what is left out."""

from __future__ import annotations

from libs.core.jsonvalue import Json
from libs.graph.schema import MISSING, NodeSchema
from libs.graph.value import Graph, Link, Node

NUMBER_NAMES = ("value", "number", "int", "float")


def effective_inputs(node: Node, schema: NodeSchema) -> dict[str, Json | Link]:
    """Return the inputs that reach the node's function, in declared order.

    An input that was left out has its default, if it has one. Inputs that the type does not
    declare are left out, unless it accepts any.
    """
    inputs: dict[str, Json | Link] = {}
    for spec in schema.inputs:
        if spec.name in node.inputs:
            inputs[spec.name] = node.inputs[spec.name]
        elif spec.default is not MISSING and schema.fills_defaults:
            inputs[spec.name] = spec.default
    if schema.accepts_any_input:
        inputs.update({k: v for k, v in node.inputs.items() if k not in inputs})
    return inputs


def effective_input(node: Node, schema: NodeSchema, name: str) -> Json | Link:
    """Return what reaches the node's function under one name; None for nothing."""
    spec = schema.input(name)
    if name in node.inputs:
        return node.inputs[name] if spec is not None or schema.accepts_any_input else None
    return None if spec is None or spec.default is MISSING else spec.default


def number(graph: Graph, node: Node, schema: NodeSchema, name: str) -> float | None:
    """Return the number an input will have, or None if only the execution can tell.

    A wire is followed as far as nodes that hold or pass on one number reach.
    """
    value = effective_input(node, schema, name)
    seen: set[str] = set()
    while isinstance(value, Link):
        source = graph.nodes.get(value.node_id)
        if source is None or source.id in seen:
            return None
        seen.add(source.id)
        value = _held(source)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _held(node: Node) -> Json | Link:
    for name in NUMBER_NAMES:
        if name in node.inputs:
            return node.inputs[name]
    return next(iter(node.inputs.values())) if len(node.inputs) == 1 else None
