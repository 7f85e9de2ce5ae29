"""A workflow while it is written: a template's nodes, and the wires that matter for painting."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from libs.core.jsonvalue import Json, JsonObject

TEMPLATES: Final = Path(__file__).parents[1] / "templates"

Wire = tuple[str, int]


@dataclass
class Sheet:
    """Nodes by their ids, in ComfyUI's API form; the methods only ever rewire."""

    nodes: dict[str, JsonObject]

    @staticmethod
    def of(template: str) -> Sheet:
        """Begin with a template."""
        return Sheet(copy.deepcopy(_read(template)))

    def add(self, node_id: str, class_type: str, **inputs: Json | Wire) -> Wire:
        """Add a node; return the wire to its first output."""
        self.nodes[node_id] = {
            "class_type": class_type,
            "inputs": {name: _json(value) for name, value in inputs.items()},
        }
        return (node_id, 0)

    def inputs(self, node_id: str) -> JsonObject:
        """Return a node's inputs, to be read."""
        found = self.nodes[node_id]["inputs"]
        if not isinstance(found, dict):
            raise TypeError(node_id)
        return found

    def set(self, node_id: str, **values: Json | Wire) -> None:
        """Set inputs of a node."""
        self.inputs(node_id).update({name: _json(value) for name, value in values.items()})

    def wire(self, node_id: str, name: str) -> Wire:
        """Return where an input comes from."""
        value = self.inputs(node_id)[name]
        if not isinstance(value, list):
            raise TypeError(f"{node_id}.{name}")
        return (str(value[0]), int(str(value[1])))

    def reroute(self, old: Wire, new: Wire, *, but: str = "") -> None:
        """Let everything but one node come from `new` that came from `old`."""
        for node_id in self.nodes:
            if node_id != but:
                for name, value in self.inputs(node_id).items():
                    if value == list(old):
                        self.set(node_id, **{name: new})

    def has(self, node_id: str) -> bool:
        """Say whether there is such a node."""
        return node_id in self.nodes


@cache
def _read(template: str) -> dict[str, JsonObject]:
    text = (TEMPLATES / f"{template}.json").read_text(encoding="utf-8")
    nodes: dict[str, JsonObject] = json.loads(text)
    return nodes


def _json(value: Json | Wire) -> Json:
    return list(value) if isinstance(value, tuple) else value
