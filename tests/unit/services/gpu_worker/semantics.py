"""Executes graphs of test nodes, and writes down what is told."""

from __future__ import annotations

from typing import Any, cast

from libs.graph.check import check
from libs.graph.growing import Place
from libs.graph.parse import parse
from libs.graph.plan import plan
from libs.graph.schema import Catalogue
from libs.graph.value import Node
from libs.nodes.context import Interrupted
from libs.nodes.judging import changes_of, judge_of
from services.gpu_worker.calling import NodeTypes
from services.gpu_worker.executor import Executor
from services.gpu_worker.results import ResultMemory
from tests.semantics.nodes import CALLS, TYPES

CATALOGUE = Catalogue({name: found.schema for name, found in TYPES.items()})


class World:
    """The world of a node, as far as the test nodes look."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.prompt = {"the": "prompt"}
        self.extra_pnginfo = {"workflow": 1}

    def step(self, value: int, total: int) -> None:
        """Take a step."""


class Heard:
    """Writes down what is reported; stops the run at one of its looks, if told to."""

    def __init__(self, stop_at_look: int = 0) -> None:
        self.news: list[tuple[str, Any]] = []
        self.places: dict[str, Place] = {}
        self.looks_left = stop_at_look

    def cached(self, node_ids: tuple[str, ...]) -> None:
        self.news.append(("cached", node_ids))

    def started(self, node_id: str) -> None:
        self.news.append(("started", node_id))

    def finished(self, node_id: str, ui: Any) -> None:
        self.news.append(("finished", node_id))

    def grown(self, node: Node, place: Place) -> None:
        self.places[node.id] = place

    def blocked(self, node_id: str, message: str) -> None:
        self.news.append(("blocked", (node_id, message)))

    def check(self) -> None:
        self.looks_left -= 1
        if self.looks_left == 0:
            raise Interrupted("stopped")

    def of(self, kind: str) -> list[Any]:
        return [what for said, what in self.news if said == kind]


class Bench:
    """Executes graphs with one memory."""

    def __init__(self, types: NodeTypes = TYPES) -> None:
        self.types = types
        self.executor = Executor(types, ResultMemory(2**24))
        self.heard = Heard()
        self.stop_at_look = 0

    def run(self, **graph: tuple[str, dict[str, Any]]) -> Any:
        prompt = {
            one.replace("_", ""): {"class_type": kind, "inputs": inputs}
            for one, (kind, inputs) in graph.items()
        }
        catalogue = self.executor.catalogue
        checked = check(parse(cast("Any", prompt)), catalogue, judge=judge_of(self.types))
        nodes = list(checked.graph.nodes.values())
        CALLS.clear()
        self.heard = Heard(self.stop_at_look)
        made = plan(checked.graph, catalogue, checked.outputs, None, changes_of(nodes, self.types))
        context_of: Any = World
        return self.executor.execute(checked.graph, made, context_of, self.heard)

    def shown(self, **graph: tuple[str, dict[str, Any]]) -> list[str]:
        told = self.run(**graph)
        return [text for ui in told.ui.values() for text in ui["text"]]


def calls(kind: str) -> list[Any]:
    return [what for said, what in CALLS if said == kind]
