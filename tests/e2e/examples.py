"""Graphs for the editor: what it is to send for the templates that ship, and a very long one."""

from __future__ import annotations

import random
from typing import Any

from libs.graph.value import Link
from libs.nodes.templates import BY_NAME


def example(name: str) -> dict[str, Any]:
    """Return a template's example as the editor is to send it: nodes by number."""
    graph = BY_NAME[name].graph
    numbers = {node_id: str(number) for number, node_id in enumerate(graph.nodes, 1)}

    def value(given: Any) -> Any:
        if isinstance(given, str) and given.endswith(".png"):
            return ""
        return [numbers[given.node_id], given.slot] if isinstance(given, Link) else given

    return {
        numbers[node.id]: (node.type, {key: value(v) for key, v in node.inputs.items()})
        for node in graph.nodes.values()
    }


def long_chain(count: int) -> dict[str, Any]:
    """Return a graph of so many nodes, one behind the other."""
    blank = {"width": 64, "height": 64, "batch_size": 1, "color": random.randrange(2**24)}
    nodes: dict[str, Any] = {"0": {"class_type": "EmptyImage", "inputs": blank}}
    for number in range(1, count - 1):
        image = {"image": [str(number - 1), 0]}
        nodes[str(number)] = {"class_type": "ImageInvert", "inputs": image}
    saved = {"images": [str(count - 2), 0], "filename_prefix": "long"}
    return {**nodes, "end": {"class_type": "SaveImage", "inputs": saved}}
