"""Executes a graph, node by node, and remembers results under the fingerprints of the plan."""

from __future__ import annotations

import threading
import traceback
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias, TypeVar

from libs.core.errors import Refused, StudioError
from libs.core.jsonvalue import Json, JsonObject
from libs.graph.effective import effective_inputs
from libs.graph.plan import Plan
from libs.graph.sockets import slot_index
from libs.graph.value import Graph, Link, Node
from libs.nodes.context import Context, Interrupted
from libs.nodes.declare import NodeType, Shown
from services.gpu_worker.several import called, outputs_of
from services.gpu_worker.showing import Showing

T = TypeVar("T")
Shows: TypeAlias = Callable[[], JsonObject]
NodeTypes: TypeAlias = Mapping[str, NodeType[..., Any]]
# What a result takes beside its values, so that small ones are not free.
RESULT_BYTES = 1024
SUMMARY_CHARACTERS_MAX = 200


class Report(Protocol):
    """Hears what happens, in order."""

    def cached(self, node_ids: tuple[str, ...]) -> None:
        """Hear once, first of all, which nodes will not be executed."""

    def started(self, node_id: str) -> None:
        """Hear that a node begins; may raise Interrupted."""

    def finished(self, node_id: str, ui: JsonObject | None) -> None:
        """Hear that a node ended, and what it shows. Cached output nodes are heard of too.

        A node whose files take time to make is heard of from another thread, when they are made;
        the next nodes may have begun by then.
        """


class NodeFailed(StudioError):
    """A node raised; holds text only, so that nothing of the run is kept alive."""

    code = "node_failed"

    def __init__(self, node: Node, error: Exception, inputs: Mapping[str, object]) -> None:
        message = error.message if isinstance(error, StudioError) else str(error)
        super().__init__(message, node_id=node.id, node_type=node.type)
        self.node_id = node.id
        self.node_type = node.type
        self.exception_type = _type_name(error)
        self.exception_message = str(error)
        self.traceback = traceback.format_tb(error.__traceback__)
        self.current_inputs: JsonObject = {
            name: [_summary(value)] for name, value in inputs.items()
        }
        self.retryable = not isinstance(error, Refused)
        self.executed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What a node returned: its outputs in order, and what it shows."""

    values: tuple[object, ...]
    ui: JsonObject | None = None

    @property
    def size_bytes(self) -> int:
        """What it takes in memory; values that take much say how much."""
        sizes = (getattr(value, "size_bytes", 0) for value in self.values)
        return RESULT_BYTES + sum(sizes)


@dataclass(frozen=True)
class Executed:
    """Which nodes were executed, which were not, and what the output nodes show."""

    executed: tuple[str, ...]
    cached: tuple[str, ...]
    ui: Mapping[str, JsonObject]


class ResultMemory:
    """Results by scope and fingerprint, bounded in bytes; the longest unused goes first.

    A scope is whoever may share results: what one tenant made is never handed to another.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes_used = 0
        self._results: OrderedDict[tuple[str, str], Result] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, scope: str, fingerprint: str) -> Result | None:
        """Return a remembered result."""
        with self._lock:
            result = self._results.get((scope, fingerprint))
            if result is not None:
                self._results.move_to_end((scope, fingerprint))
            return result

    def put(self, scope: str, fingerprint: str, result: Result) -> None:
        """Remember a result, unless it is larger than the memory."""
        with self._lock:
            self._forget((scope, fingerprint))
            if result.size_bytes > self.bytes_max:
                return
            self._results[scope, fingerprint] = result
            self.bytes_used += result.size_bytes
            while self.bytes_used > self.bytes_max:
                self._forget(next(iter(self._results)))

    def fingerprints(self, scope: str) -> tuple[str, ...]:
        """Return what is remembered for a scope, the longest unused first."""
        with self._lock:
            return tuple(found for owner, found in self._results if owner == scope)

    def free(self) -> None:
        """Forget everything."""
        with self._lock:
            self._results.clear()
            self.bytes_used = 0

    def _forget(self, key: tuple[str, str]) -> None:
        result = self._results.pop(key, None)
        if result is not None:
            self.bytes_used -= result.size_bytes


@dataclass(frozen=True)
class Executor:
    """Executes plans one node after the other; what is remembered is not executed again."""

    types: NodeTypes
    memory: ResultMemory

    def execute(
        self,
        graph: Graph,
        plan: Plan,
        context_of: Callable[[str], Context],
        report: Report,
        scope: str = "",
        taken: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Executed:
        """Execute what is not remembered, each node inside `taken`; raise NodeFailed or Interrupted.

        An Interrupted names the node in its facts. What finished before either is remembered.
        """
        run = _Run(self, graph, plan, scope)
        report.cached(run.cached)
        with Showing() as showing:
            for node_id in plan.order:
                showing.check()
                if node_id in run.waiting:
                    report.started(node_id)
                    with taken():
                        finish = run.execute(node_id, context_of(node_id), report)
                    finish() if finish.at_once else showing.begin(finish)
                elif node_id in plan.outputs:
                    report.finished(node_id, run.results[node_id].ui)
        return Executed(tuple(run.executed), run.cached, run.ui)


class _Run:
    """One execution: what is waiting, what is done, who still needs it."""

    def __init__(self, executor: Executor, graph: Graph, plan: Plan, scope: str) -> None:
        self.types = executor.types
        self.memory = executor.memory
        self.graph = graph
        self.plan = plan
        self.scope = scope
        self.results: dict[str, Result] = {}
        self.waiting = self._needed()
        self.cached = tuple(node_id for node_id in plan.order if node_id not in self.waiting)
        self.executed: list[str] = []
        self.ui: dict[str, JsonObject] = {
            node_id: result.ui
            for node_id, result in self.results.items()
            if node_id in plan.outputs and result.ui is not None
        }
        self.needs = Counter(
            source for node_id in self.waiting for source in self._sources(node_id)
        )

    def execute(self, node_id: str, context: Context, report: Report) -> _Finish:
        """Execute a node; what is left to do is to finish it, at once or in another thread."""
        node = self.graph.nodes[node_id]
        inputs = self._inputs(node)
        returned = self._guarded(node, inputs, lambda: self._called(node, inputs, context))
        shows = returned.ui if isinstance(returned, Shown) else None
        values = outputs_of(returned.value if isinstance(returned, Shown) else returned)
        if self.needs[node_id]:
            self.results[node_id] = Result(values)
        self._release(self._sources(node_id))
        if not callable(shows):
            return _Finish(self, node, Result(values, shows), report)
        # Until the files are made they hold what they show; a failure names the inputs.
        said = {name: _summary(value) for name, value in inputs.items()}
        return _Finish(self, node, Result(values), report, shows, said)

    def finish(self, node: Node, result: Result, report: Report) -> None:
        """Remember what a node made, and tell of it."""
        self.executed.append(node.id)
        self.memory.put(self.scope, self.plan.fingerprints[node.id], result)
        if result.ui is not None and node.id in self.plan.outputs:
            self.ui[node.id] = result.ui
        report.finished(node.id, result.ui)

    def show(self, node: Node, said: Mapping[str, object], make: Shows) -> JsonObject:
        """Make what a node shows; a failure is the node's own."""
        return self._guarded(node, said, make)

    def _called(self, node: Node, inputs: dict[str, object], context: Context) -> Any:
        node_type = self.types[node.type]

        def call(given: Mapping[str, object]) -> Any:
            if node_type.wants_context:
                return node_type.function(context, **given)
            return node_type.function(**given)

        return called(node_type.schema, call, inputs)

    def _guarded(self, node: Node, inputs: Mapping[str, object], work: Callable[[], T]) -> T:
        try:
            return work()
        except Interrupted as stopped:
            facts = {**stopped.facts, "node_id": node.id, "node_type": node.type}
            raise Interrupted(stopped.message, **facts) from None
        except Exception as error:
            failed = NodeFailed(node, error, inputs)
            failed.executed = tuple(self.executed)
        # Outside the handler, so that no frame of the node hangs on it with its tensors.
        raise failed

    def _needed(self) -> set[str]:
        """Return what must be executed, and take what is remembered and needed into `results`."""
        needed: set[str] = set()
        open_ids = list(self.plan.outputs)
        seen: set[str] = set()
        while open_ids:
            node_id = open_ids.pop()
            if node_id in seen:
                continue
            seen.add(node_id)
            known = self.memory.get(self.scope, self.plan.fingerprints[node_id])
            if known is not None:
                self.results[node_id] = known
            else:
                needed.add(node_id)
                open_ids.extend(self._sources(node_id))
        return needed

    def _inputs(self, node: Node) -> dict[str, object]:
        given = effective_inputs(node, self.types[node.type].schema)
        return {
            name: self._value(value) if isinstance(value, Link) else value
            for name, value in given.items()
        }

    def _value(self, link: Link) -> object:
        schema = self.types[self.graph.nodes[link.node_id].type].schema
        slot = slot_index(schema, link.slot)
        if slot is None:
            raise Refused("there is no such output", node_id=link.node_id, slot=link.slot)
        return self.results[link.node_id].values[slot]

    def _sources(self, node_id: str) -> list[str]:
        node = self.graph.nodes[node_id]
        given = effective_inputs(node, self.types[node.type].schema)
        return [value.node_id for value in given.values() if isinstance(value, Link)]

    def _release(self, sources: Iterable[str]) -> None:
        for source in sources:
            self.needs[source] -= 1
            if self.needs[source] == 0 and source not in self.plan.outputs:
                self.results.pop(source, None)


@dataclass(frozen=True)
class _Finish:
    """The end of one node's execution: its files are made, and it is told of."""

    run: _Run
    node: Node
    result: Result
    report: Report
    shows: Shows | None = None
    said: Mapping[str, object] = field(default_factory=dict)

    @property
    def at_once(self) -> bool:
        """Say whether nothing is left to be made."""
        return self.shows is None

    def __call__(self) -> None:
        result = self.result
        if self.shows is not None:
            result = replace(result, ui=self.run.show(self.node, self.said, self.shows))
        self.run.finish(self.node, result, self.report)


def _type_name(error: Exception) -> str:
    kind = type(error)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _summary(value: object) -> Json:
    """Return a literal as it is, cut to a bound, and of anything else its kind."""
    if isinstance(value, str):
        return value[:SUMMARY_CHARACTERS_MAX]
    if value is None or isinstance(value, bool | int | float):
        return value
    return type(value).__name__
