"""From a graph back to either dialect, and to bytes that are the same every time."""

from __future__ import annotations

import json

from libs.core.jsonvalue import Json, JsonObject
from libs.graph.parse import WRAPPER
from libs.graph.schema import Catalogue
from libs.graph.sockets import slot_index, slot_name
from libs.graph.value import BrokenLink, Graph, Link, Node


def to_comfy(graph: Graph, catalogue: Catalogue) -> JsonObject:
    """Return ComfyUI's flat API form: `class_type`, links with integer slots."""
    rendered: JsonObject = {}
    for node in graph.nodes.values():
        rendered[node.id] = {
            "inputs": _inputs(node, graph, catalogue, named=False),
            "class_type": node.type,
            **_meta(node),
        }
    return rendered


def to_hip35(graph: Graph, catalogue: Catalogue) -> JsonObject:
    """Return HIP-35's form: `version`, `nodes`, `type`, links that name the output."""
    nodes: JsonObject = {}
    for node in graph.nodes.values():
        nodes[node.id] = {
            "type": node.type,
            "inputs": _inputs(node, graph, catalogue, named=True),
            **_meta(node),
        }
    return {"version": 1, "nodes": nodes}


def canonical(value: Json) -> bytes:
    """Return the one byte string of a JSON value: sorted keys, no spaces, ASCII."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode("ascii")


def document(value: Json) -> str:
    """Return a JSON value as a file that people compare: one value a line, sorted keys."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _meta(node: Node) -> JsonObject:
    return {"_meta": {"title": node.title}} if node.title else {}


def _inputs(node: Node, graph: Graph, catalogue: Catalogue, *, named: bool) -> JsonObject:
    return {
        name: _link(value, graph, catalogue, named=named)
        if isinstance(value, Link)
        else _literal(value)
        for name, value in node.inputs.items()
    }


def _literal(value: Json) -> Json:
    # A bare list would read as a link, and a bare wrapper would be unwrapped.
    if isinstance(value, list) or (isinstance(value, dict) and WRAPPER in value):
        return {WRAPPER: value}
    return value


def _link(link: Link, graph: Graph, catalogue: Catalogue, *, named: bool) -> Json:
    if isinstance(link, BrokenLink):
        return link.received
    source = graph.nodes.get(link.node_id)
    schema = catalogue.types.get(source.type) if source else None
    if schema is None:
        # What it names cannot be known here, so the link stays as the client wrote it.
        return [link.node_id, link.slot]
    slot = slot_name(schema, link.slot) if named else slot_index(schema, link.slot)
    return [link.node_id, link.slot if slot is None else slot]
