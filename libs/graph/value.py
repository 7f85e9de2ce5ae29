"""The checked workflow: nodes by id, links between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from libs.core.jsonvalue import Json

Dialect: TypeAlias = Literal["comfyui", "hip35"]


@dataclass(frozen=True)
class Link:
    """A wire from an output of another node: by index, or by name until it is resolved."""

    node_id: str
    slot: int | str


@dataclass(frozen=True)
class BrokenLink(Link):
    """A list where a wire was meant, but not `[node_id, slot]`; kept to be named and echoed."""

    received: Json = None


@dataclass(frozen=True)
class Node:
    """The use of a node type in a graph; `inputs` hold literals and links."""

    id: str
    type: str
    inputs: Mapping[str, Json | Link]
    title: str = ""


@dataclass(frozen=True)
class Graph:
    """Nodes by id, in the order in which the client wrote them."""

    nodes: Mapping[str, Node]
    dialect: Dialect
