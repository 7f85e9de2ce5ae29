"""Results that workers share: looked for before an execution, given to the others after it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from libs.core.errors import Refused
from libs.core.jsonvalue import JsonObject
from libs.graph.effective import effective_inputs
from libs.graph.plan import Plan
from libs.graph.schema import Catalogue
from libs.graph.value import Graph, Link
from services.gpu_worker.calls import Calls
from services.gpu_worker.domain.worth import Worth
from services.gpu_worker.results import Result, ResultMemory

# Wires whose values can travel.
CARRIED: Final = frozenset({"IMAGE", "MASK", "LATENT", "CONDITIONING"})


class Codec(Protocol):
    """How an engine's values become bytes."""

    def to_bytes(self, values: Sequence[object]) -> bytes | None:
        """Return the outputs of a node, or None if one of them cannot travel."""

    def from_bytes(self, data: bytes) -> tuple[object, ...]:
        """Return the outputs again; raise Refused if they are damaged."""


@dataclass(frozen=True)
class Task:
    """One execution: what is planned, and what its results are called among all workers.

    `names` are digests of the graph's part, of the weights' bytes and of all that the results
    rest on, so that a worker takes only what it would have made to the bit.
    """

    mark: JsonObject
    scope: str
    graph: Graph
    plan: Plan
    catalogue: Catalogue
    names: Mapping[str, str]

    def type_of(self, node_id: str) -> str:
        """Return a node's type."""
        return self.graph.nodes[node_id].type

    def sources(self, node_id: str) -> list[str]:
        """Return the nodes that one is wired to."""
        node = self.graph.nodes[node_id]
        given = effective_inputs(node, self.catalogue.types[node.type])
        return [value.node_id for value in given.values() if isinstance(value, Link)]

    def is_shared(self, node_id: str) -> bool:
        """Say whether all that a node returns can travel."""
        if node_id not in self.names or node_id not in self.plan.fingerprints:
            return False  # An expansion made the node, or its result is never the same again.
        schema = self.catalogue.types[self.type_of(node_id)]
        kinds = {output.type for output in schema.outputs}
        return bool(kinds) and kinds <= CARRIED


@dataclass
class Sharing:
    """Fills the memory with what other workers made, and hands them what was dear to make."""

    calls: Calls
    memory: ResultMemory
    codec: Codec
    bytes_max: int
    worth: Worth = field(default_factory=Worth)

    def take(self, task: Task) -> None:
        """Fetch results that are needed, not remembered, and quicker to fetch than to make."""
        wanted = [node_id for node_id in self._walk(task, {}) if self._is_wanted(task, node_id)]
        if not wanted:
            return
        began = time.monotonic()
        digests = [task.names[node_id] for node_id in wanted]
        known = self.calls.known_results(task.mark, digests)
        self.worth.fetch_took(0, time.monotonic() - began)
        if known:
            self._walk(task, known)

    def give(self, task: Task, seconds: Mapping[str, float]) -> None:
        """Hand over what took longer to make than it takes to fetch, by the nodes' seconds."""
        for node_id, spent in seconds.items():
            if not task.is_shared(node_id):
                continue
            self.worth.node_took(task.type_of(node_id), spent)
            made = self.memory.get(task.scope, task.plan.fingerprints[node_id])
            if made is None or not self._is_kept(spent, made.size_bytes):
                continue
            data = self.codec.to_bytes(made.values)
            if data is not None:
                self.calls.keep_result(task.mark, task.names[node_id], data)

    def _walk(self, task: Task, known: Mapping[str, int]) -> list[str]:
        """Walk up from the outputs, and fetch what is known; return what must be executed.

        What is remembered or fetched needs nothing upstream.
        """
        waiting, seen, missing = list(task.plan.outputs), set(task.plan.outputs), []
        while waiting:
            node_id = waiting.pop()
            if self._is_remembered(task, node_id) or self._fetched(task, node_id, known):
                continue
            missing.append(node_id)
            fresh = [one for one in task.sources(node_id) if one not in seen]
            waiting.extend(fresh)
            seen.update(fresh)
        return missing

    def _is_remembered(self, task: Task, node_id: str) -> bool:
        name = task.plan.fingerprints.get(node_id)
        return name is not None and self.memory.get(task.scope, name) is not None

    def _is_wanted(self, task: Task, node_id: str) -> bool:
        return task.is_shared(node_id) and self.worth.is_asked_for(task.type_of(node_id))

    def _is_kept(self, seconds: float, size_bytes: int) -> bool:
        return size_bytes <= self.bytes_max and self.worth.is_kept(seconds, size_bytes)

    def _fetched(self, task: Task, node_id: str, known: Mapping[str, int]) -> bool:
        name = task.names.get(node_id, "")
        if known.get(name, self.bytes_max + 1) > self.bytes_max:
            return False
        began = time.monotonic()
        data = self.calls.fetch_result(task.mark, name)
        if data is None:
            return False
        try:
            values = self.codec.from_bytes(data)
        except Refused:
            return False
        self.worth.fetch_took(len(data), time.monotonic() - began)
        self.memory.put(task.scope, task.plan.fingerprints[node_id], Result(values))
        return True
