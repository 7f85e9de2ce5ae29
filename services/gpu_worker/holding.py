"""What an execution has at hand: results, who still needs them, and the names they go by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from libs.core.errors import Refused
from libs.graph.effective import effective_inputs
from libs.graph.fingerprint import Fingerprints, NameOf
from libs.graph.growing import GrowingGraph
from libs.graph.plan import Plan
from libs.graph.sockets import slot_index
from libs.graph.value import Link, Node
from libs.graph.walk import components
from services.gpu_worker.results import Result, ResultMemory


class Holding:
    """Results of one execution; a value that nobody needs any more is let go.

    `unknown` are the nodes of the plan that must perhaps be executed, `cached` all others.
    """

    def __init__(self, graph: GrowingGraph, plan: Plan, memory: ResultMemory, scope: str) -> None:
        self.graph = graph
        self.plan = plan
        self.memory = memory
        self.scope = scope
        self.names = Fingerprints(graph.node, graph.catalogue, plan.contents, plan.fingerprints)
        self.results: dict[str, Result] = {}
        self._looked_for: set[str] = set()
        self.unknown = self._find()
        self.cached = tuple(node_id for node_id in plan.order if node_id not in self.unknown)
        self.asked: dict[str, set[str]] = {}
        self._promised: set[str] = set()
        self._needs = Counter(
            source for node_id in self.unknown for source in graph.sources(node_id)
        )
        # What an expansion will be wired to, only the expansion tells.
        self._keeps_all = any(graph.schema(node_id).expands for node_id in self.unknown)

    def is_known(self, node_id: str) -> bool:
        """Say whether a node needs no execution; what is remembered is taken up."""
        if node_id in self.results:
            return True
        if node_id in self._looked_for:
            return False
        self._looked_for.add(node_id)
        name = self._name(node_id)
        found = None if name is None else self.memory.get(self.scope, name)
        if found is not None:
            self.results[node_id] = found
        return found is not None

    def surely(self, node_id: str) -> tuple[str, ...]:
        """Return what a node needs: all but the lazy inputs that it did not ask for."""
        sources = self.graph.sources(node_id, lazy=False)
        asked = self.asked.get(node_id)
        return tuple(dict.fromkeys((*sources, *asked))) if asked else sources

    def inputs(self, node: Node) -> dict[str, object]:
        """Return what a node is called with; None for a lazy input that it did not ask for."""
        schema = self.graph.schema(node.id)
        surely = frozenset(self.surely(node.id))
        inputs: dict[str, object] = {}
        for name, value in effective_inputs(node, schema).items():
            spec = schema.input(name)
            if not isinstance(value, Link):
                inputs[name] = value
            elif spec is not None and spec.raw_link:
                inputs[name] = [value.node_id, self.slot(value)]
            else:
                inputs[name] = self.value(value) if value.node_id in surely else None
        return inputs

    def value(self, link: Link) -> object:
        """Return what came out of a node."""
        return self.results[link.node_id].values[self.slot(link)]

    def slot(self, link: Link) -> int:
        """Return which output a link is of."""
        slot = None
        if link.node_id in self.graph:
            slot = slot_index(self.graph.schema(link.node_id), link.slot)
        if slot is None:
            raise Refused("there is no such output", node_id=link.node_id, slot=link.slot)
        return slot

    def put(self, node_id: str, result: Result) -> None:
        """Hold a result as long as somebody needs it."""
        if self._keeps_all or self._needs[node_id]:
            self.results[node_id] = result

    def promise(self, node_id: str) -> None:
        """Say that a result will be remembered when its files are made."""
        name = self._name(node_id)
        if name is not None and name not in self._promised:
            self._promised.add(name)
            self.memory.promise(self.scope, name)

    def remember(self, node_id: str, result: Result) -> None:
        """Keep a result for later executions."""
        name = self._name(node_id)
        if name is not None:
            self.memory.put(self.scope, name, result)
            if name in self._promised:
                self._promised.discard(name)
                self.memory.release(self.scope, name)

    def close(self) -> None:
        """Take back what was promised and never came."""
        while self._promised:
            self.memory.release(self.scope, self._promised.pop())

    def need(self, sources: Iterable[str]) -> None:
        """Count on results; each is to be released."""
        self._needs.update(sources)

    def release(self, sources: Iterable[str]) -> None:
        """Let go of what was counted on."""
        for source in sources:
            self._needs[source] -= 1
            kept = self._keeps_all or source in self.plan.outputs
            if self._needs[source] == 0 and not kept:
                self.results.pop(source, None)
                self._looked_for.discard(source)

    def add(self, grown: Iterable[str], changes: Mapping[str, object], name_of: NameOf) -> None:
        """Take up nodes that an expansion added."""
        new = dict.fromkeys(grown)
        edges = {one: [s for s in self.graph.sources(one) if s in new] for one in new}
        order = [node_id for component in components(edges) for node_id in component]
        self.names.add(order, changes, name_of)
        for node_id in new:
            self.need(self.graph.sources(node_id))

    def _find(self) -> set[str]:
        """Return what may have to be executed, and take up what is remembered and needed."""
        unknown: set[str] = set()
        waiting = list(self.plan.outputs)
        while waiting:
            node_id = waiting.pop()
            if node_id not in unknown and not self.is_known(node_id):
                unknown.add(node_id)
                waiting.extend(self.graph.sources(node_id))
        return unknown

    def _name(self, node_id: str) -> str | None:
        """Return under what a result is remembered, if it is."""
        return None if self._is_never_shared(node_id) else self.names.of(node_id)

    def _is_never_shared(self, node_id: str) -> bool:
        """Say that a node makes files: every prompt has its own."""
        return self.graph.is_grown(node_id) and self.graph.schema(node_id).output_node
