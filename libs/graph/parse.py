"""From a client's document, in either dialect, to a graph."""

from __future__ import annotations

import json
from collections.abc import Mapping

from libs.core.jsonvalue import Json, JsonObject
from libs.graph.literals import flaw, flaw_of_text
from libs.graph.refusal import GraphRefused, clip, invalid_prompt, node_problems, problem
from libs.graph.value import BrokenLink, Dialect, Graph, Link, Node

WRAPPER = "__value__"
# As it is written in JSON: an event that lists all nodes of the largest graph must fit the bus.
NAME_BYTES_MAX = 200
LINK_PARTS = 2
TYPE_KEY: Mapping[Dialect, str] = {"comfyui": "class_type", "hip35": "type"}


def parse(prompt: Json) -> Graph:
    """Read a workflow; raise GraphRefused for whatever is not one.

    Accepted are ComfyUI's flat API form and HIP-35's `{"version": 1, "nodes": {...}}`. Links are
    `[node id, slot]` in both, the slot being an index or the name of an output.
    """
    if not isinstance(prompt, dict):
        raise invalid_prompt(
            "The prompt must be an object that maps node ids to nodes",
            f"received {type(prompt).__name__}",
        )
    dialect, nodes = _nodes_of(prompt)
    return Graph({node_id: _node(node_id, nodes[node_id], dialect) for node_id in nodes}, dialect)


def dialect_of(prompt: JsonObject) -> Dialect:
    """Return the dialect of a workflow without looking at its nodes; refused as by `parse`."""
    return _nodes_of(prompt)[0]


def _nodes_of(prompt: JsonObject) -> tuple[Dialect, JsonObject]:
    nodes = prompt.get("nodes")
    if isinstance(nodes, list):
        raise invalid_prompt(
            "This is the editor's own workflow format, which cannot be executed",
            "'nodes' is an array; in the editor choose Workflow > Export (API) to export as "
            "API format and send that",
            hint="export as API format",
        )
    # In the flat form "nodes" can only be an id, and then what it names has a class_type.
    if isinstance(nodes, dict) and not isinstance(nodes.get("class_type"), str):
        _require_version(prompt)
        return "hip35", nodes
    if "version" in prompt and not isinstance(prompt["version"], dict):
        _require_version(prompt)
        raise invalid_prompt(
            "The workflow has no nodes", "'nodes' must be an object", field="nodes"
        )
    return "comfyui", prompt


def _require_version(prompt: JsonObject) -> None:
    version = prompt.get("version")
    if isinstance(version, int | float) and not isinstance(version, bool) and version == 1:
        return
    received = clip(repr(version)) if "version" in prompt else "none"
    raise invalid_prompt(
        "Only version 1 of the workflow format is known",
        f"version: received {received}, expected 1",
        field="version",
        supported=[1],
    )


def _node(node_id: str, body: Json, dialect: Dialect) -> Node:
    _require_name(node_id, "a node id", node_id)
    if not isinstance(body, dict):
        raise invalid_prompt(
            "Each node must be an object",
            f"Node ID '#{clip(node_id)}': received {type(body).__name__}",
            node_id=clip(node_id),
        )
    title = _title(body)
    node_type = _node_type(node_id, body, title, dialect)
    inputs = body.get("inputs", {})
    if not isinstance(inputs, dict):
        raise invalid_prompt(
            "The inputs of a node must be an object",
            f"Node ID '#{node_id}', inputs: received {type(inputs).__name__}",
            node_id=node_id,
            field="inputs",
        )
    return Node(node_id, node_type, _inputs(node_id, node_type, inputs), title)


def _node_type(node_id: str, body: JsonObject, title: str, dialect: Dialect) -> str:
    key = TYPE_KEY[dialect]
    node_type = body.get(key)
    if isinstance(node_type, str) and node_type:
        _require_name(node_type, key, node_id)
        return node_type
    error = problem(
        "missing_node_type",
        f"Node '{title or node_id}' names no {key}.",
        f"Node ID '#{node_id}'",
        node_id=node_id,
        class_type=None,
        node_title=title or None,
    )
    raise GraphRefused(error, {node_id: node_problems("", [error])})


def _title(body: JsonObject) -> str:
    meta = body.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    # A title is an ornament: an unusable one is dropped, not refused.
    return title if isinstance(title, str) and flaw_of_text(title) is None else ""


def _inputs(node_id: str, node_type: str, inputs: JsonObject) -> dict[str, Json | Link]:
    read: dict[str, Json | Link] = {}
    for name, value in inputs.items():
        _require_name(name, "an input name", node_id)
        found = flaw(value)
        if found:
            raise _bad_literal(node_id, node_type, name, found)
        read[name] = _value(value)
    return read


def _value(value: Json) -> Json | Link:
    if isinstance(value, dict) and WRAPPER in value:
        return value[WRAPPER]
    return _link(value) if isinstance(value, list) else value


def _link(value: list[Json]) -> Link:
    if len(value) == LINK_PARTS:
        source, slot = value
        if isinstance(source, int) and not isinstance(source, bool):
            source = str(source)
        if isinstance(source, str) and isinstance(slot, int | str) and not isinstance(slot, bool):
            return Link(source, slot)
    return BrokenLink("", 0, value)


def _require_name(text: str, what: str, node_id: str) -> None:
    if len(text) <= NAME_BYTES_MAX and text.isascii() and text.isidentifier():
        return  # As nearly all names are; whatever else is looked at letter by letter.
    found = flaw_of_text(text)
    if not found and _bytes_of(text) > NAME_BYTES_MAX:
        found = f"is longer than {NAME_BYTES_MAX} bytes"
    if found:
        readable = node_id.encode("ascii", "backslashreplace").decode().replace("\0", "\\0")
        raise invalid_prompt(f"{what} {found}", f"Node ID '#{clip(readable)}'", field=what)


def _bytes_of(text: str) -> int:
    """Return how long a text is in JSON, without its quotes."""
    return len(json.dumps(text, ensure_ascii=False).encode()) - 2


def _bad_literal(node_id: str, node_type: str, name: str, found: str) -> GraphRefused:
    error = problem(
        "invalid_input_type",
        f"The value of '{name}' {found}",
        f"Node ID '#{node_id}', input '{name}'",
        input_name=name,
        node_id=node_id,
    )
    return GraphRefused(error, {node_id: node_problems(node_type, [error])})
