"""One execution of a graph: drives the schedule, has the nodes called, tells what happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias, TypeVar

from libs.core.errors import Refused
from libs.core.jsonvalue import Json, JsonObject
from libs.graph.schedule import Schedule
from libs.graph.value import Link, Node
from libs.nodes.context import Context, Interrupted
from libs.nodes.judging import changes_of
from services.gpu_worker.aside import Aside, Taken
from services.gpu_worker.calling import Caller, ended, hidden_of
from services.gpu_worker.failing import DependencyCycle, NodeFailed, summary
from services.gpu_worker.holding import Holding
from services.gpu_worker.results import Result
from services.gpu_worker.several import Part, Several, Shows, is_mapped, part_of, ui_of, values_of
from services.gpu_worker.showing import Showing

T = TypeVar("T")
ContextOf: TypeAlias = Callable[[str], Context]
# How long an execution that waits for async nodes does not look whether it was stopped.
LOOK_SECONDS: Final = 0.1


@dataclass
class Work:
    """A node that has begun: what it was given, what its calls returned, what they gave."""

    node: Node
    inputs: Mapping[str, object]
    returned: list[Any]
    parts: list[Part] = field(default_factory=list)

    @property
    def links(self) -> tuple[Link, ...]:
        """Return the outputs that nodes in its place will make."""
        return tuple(
            value
            for part in self.parts
            if part.nodes is not None
            for value in part.values
            if isinstance(value, Link)
        )


class Run:
    """One execution, from the first node to the last."""

    def __init__(
        self,
        holding: Holding,
        caller: Caller,
        context_of: ContextOf,
        taken: Taken,
        computed: Callable[[], None],
    ) -> None:
        self.taken = taken
        self.computed = computed
        self.holding = holding
        self.caller = caller
        self.context_of = context_of
        self.graph = holding.graph
        self.report = caller.report
        self.executed: list[str] = []
        self.ui: dict[str, JsonObject] = {}
        self.works: dict[str, Work] = {}
        self.schedule = Schedule(holding.surely, holding.is_known, self._is_urgent)

    def execute(self) -> None:
        """Execute everything that is wanted; raise NodeFailed or Interrupted."""
        outputs = self.holding.plan.outputs
        self.report.cached(self.holding.cached)
        for node_id in outputs:
            if node_id in self.holding.results:
                self._show(node_id, self.holding.results[node_id].ui)
        self.schedule.want(outputs)
        with Showing() as showing, Aside(self.taken) as aside:
            while not self.schedule.is_over:
                showing.check()
                self._call_back(aside)
                node_id = self._next()
                with self.taken():
                    finish = self._proceed(node_id, aside)
                if finish is not None:
                    finish() if finish.at_once else showing.begin(finish)
            if showing.is_making:
                # Whoever comes next may use them, while this thread waits for files.
                self.caller.give_back()
                self.computed()

    def finish(self, node: Node, result: Result) -> None:
        """Remember what a node made, and tell of it."""
        self.executed.append(node.id)
        self.holding.remember(node.id, result)
        self._show(node.id, result.ui)

    def guarded(self, node: Node, inputs: Mapping[str, object], work: Callable[[], T]) -> T:
        """Do a node's work; a failure is told as that of the client's node behind it."""
        shown = self.graph.node(self.graph.place(node.id).real)
        try:
            return work()
        except Interrupted as stopped:
            facts = {**stopped.facts, "node_id": shown.id, "node_type": shown.type}
            raise Interrupted(stopped.message, **facts) from None
        except Exception as error:
            failed = NodeFailed(shown, error, inputs)
            failed.executed = tuple(self.executed)
            made = (*self.holding.cached, *failed.executed)
            failed.current_outputs = tuple(one for one in made if not self.graph.is_grown(one))
        # Outside the handler, so that no frame of the node hangs on it with its tensors.
        raise failed

    def _show(self, node_id: str, ui: JsonObject | None) -> None:
        if ui is not None:
            self.ui[node_id] = ui
        self.report.finished(node_id, ui)

    def _is_urgent(self, node_id: str) -> bool:
        """Say whether others can be executed in the meantime."""
        return self.caller.types[self.graph.node(node_id).type].is_async

    def _call_back(self, aside: Aside) -> None:
        """Let nodes that ended elsewhere go on; wait for one if there is nothing else to do."""
        while (node_id := aside.ended()) is not None:
            self.schedule.call_back(node_id)
        while self.schedule.is_waiting:
            self.report.check()
            if (node_id := aside.ended(LOOK_SECONDS)) is not None:
                self.schedule.call_back(node_id)

    def _next(self) -> str:
        """Return the next node; nodes that wait for each other fail."""
        node_id = self.schedule.take()
        if node_id is not None:
            return node_id
        cycle = self.schedule.cycle()
        blamed = next((one for one in cycle if self.graph.is_grown(one)), cycle[0])

        def refuse() -> str:
            raise DependencyCycle("Dependency cycle detected", nodes=cycle)

        return self.guarded(self.graph.node(blamed), {}, refuse)

    def _proceed(self, node_id: str, aside: Aside) -> Finish | None:
        """Take a node one step on; return its end when it is done."""
        work = self.works.get(node_id)
        if work is None:
            return self._begin(node_id, aside)
        return self._done(work) if work.parts else self._collect(work)

    def _begin(self, node_id: str, aside: Aside) -> Finish | None:
        """Call a node, unless it asks for more first."""
        node = self.graph.node(node_id)
        self.report.started(node_id)
        context = self.context_of(node_id)
        inputs = self.holding.inputs(node)
        if self.guarded(node, inputs, lambda: self._asks_for_more(node, inputs, context)):
            self.schedule.give_back(node_id)
            return None
        returned = self.guarded(
            node, inputs, lambda: self.caller.call(node, inputs, context, aside)
        )
        work = self.works[node_id] = Work(node, inputs, returned)
        calls = [call for call in returned if isinstance(call, Future)]
        if not calls:
            return self._collect(work)
        self.schedule.send_away(node_id)
        aside.tell(node_id, calls)
        return None

    def _asks_for_more(self, node: Node, inputs: Mapping[str, object], context: Context) -> bool:
        """Say whether a node waits for lazy inputs, which are asked for."""
        wanted = self.caller.wanted(node, inputs, context)
        missing = tuple(self._missing(node, wanted))
        if not missing:
            return False
        self.holding.asked.setdefault(node.id, set()).update(missing)
        self.schedule.need(node.id, missing)
        return True

    def _missing(self, node: Node, wanted: Sequence[str]) -> Iterator[str]:
        surely = self.holding.surely(node.id)
        for name in wanted:
            value = node.inputs.get(name)
            if isinstance(value, Link) and value.node_id not in surely:
                yield value.node_id
            elif name not in node.inputs:
                raise Refused("the node wants an input that nothing is wired to", input=name)

    def _collect(self, work: Work) -> Finish | None:
        """Look at what a node returned; nodes that it expands into come first."""
        schema = self.caller.types[work.node.type].schema
        returned, work.returned = work.returned, []
        work.parts = self.guarded(
            work.node,
            work.inputs,
            lambda: [part_of(schema, one) for one in ended(returned)],
        )
        if all(part.nodes is None for part in work.parts):
            return self._done(work)
        self.guarded(work.node, work.inputs, lambda: self._grow(work))
        self.schedule.give_back(work.node.id)
        return None

    def _grow(self, work: Work) -> None:
        """Put nodes in the place of one that expands, and let it wait for its outputs."""
        parent = work.node.id
        grown = [
            node_id
            for part in work.parts
            if part.nodes is not None
            for node_id in self.graph.grow(parent, part.nodes)
        ]
        nodes = [self.graph.node(node_id) for node_id in grown]
        changes = changes_of(
            nodes,
            self.caller.types,
            lambda found, node_id: hidden_of(self.context_of, found, node_id, self.graph),
        )
        origins = self._origins(work)
        self.holding.add(grown, changes, lambda value: origins.get(id(value)))
        for node in nodes:
            self.report.grown(node, self.graph.place(node.id))
        self.schedule.want(one for one in grown if self.graph.schema(one).output_node)
        for link in work.links:
            self.holding.slot(link)
        sources = tuple(dict.fromkeys(link.node_id for link in work.links))
        self.holding.need(sources)
        self.schedule.need(parent, sources)

    def _origins(self, work: Work) -> dict[int, Json]:
        """Return what names the values that a node was given, by their identity."""
        origins: dict[int, Json] = {}
        for name, link in work.node.inputs.items():
            if (
                not isinstance(link, Link)
                or (source := self.holding.names.of(link.node_id)) is None
            ):
                continue
            given = work.inputs.get(name)
            several = given.items if isinstance(given, Several) else (given,)
            for number, item in enumerate(several):
                origins[id(item)] = [source, self.holding.slot(link), number]
        return origins

    def _done(self, work: Work) -> Finish:
        """Take down what a node made; what is left to do is to tell of it."""
        node = work.node
        values = self.guarded(node, work.inputs, lambda: self._values(work))
        ui = ui_of(work.parts)
        self.works.pop(node.id, None)
        self.holding.put(node.id, Result(values, None if callable(ui) else ui))
        made = dict.fromkeys(link.node_id for link in work.links)
        self.holding.release((*self.graph.sources(node.id), *made))
        self.schedule.finish(node.id)
        if not callable(ui):
            return Finish(self, node, Result(values, ui))
        self.holding.promise(node.id)
        # Until the files are made they hold what they show; a failure names the inputs.
        said = {name: summary(value) for name, value in work.inputs.items()}
        return Finish(self, node, Result(values), ui, said)

    def _values(self, work: Work) -> tuple[Any, ...]:
        schema = self.caller.types[work.node.type].schema
        rows = [
            tuple(
                self.holding.value(one) if part.nodes is not None and isinstance(one, Link) else one
                for one in part.values
            )
            for part in work.parts
        ]
        return values_of(schema, rows, mapped=is_mapped(schema, work.inputs))


@dataclass(frozen=True)
class Finish:
    """The end of one node's execution: its files are made, and it is told of."""

    run: Run
    node: Node
    result: Result
    shows: Shows | None = None
    said: Mapping[str, object] = field(default_factory=dict)

    @property
    def at_once(self) -> bool:
        """Say whether nothing is left to be made."""
        return self.shows is None

    def __call__(self) -> None:
        result = self.result
        if self.shows is not None:
            result = replace(result, ui=self.run.guarded(self.node, self.said, self._shown))
        self.run.finish(self.node, result)

    def _shown(self) -> JsonObject | None:
        self.run.report.check()
        return self.shows() if self.shows is not None else None
