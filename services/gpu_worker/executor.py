"""Executes a graph, node by node, and remembers results under the fingerprints of the plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property

from libs.core.jsonvalue import JsonObject
from libs.graph.growing import GrowingGraph
from libs.graph.plan import Plan
from libs.graph.schema import Catalogue
from libs.graph.value import Graph
from services.gpu_worker.aside import Taken
from services.gpu_worker.calling import Caller, NodeTypes
from services.gpu_worker.holding import Holding
from services.gpu_worker.instances import Instances
from services.gpu_worker.report import Report
from services.gpu_worker.results import ResultMemory
from services.gpu_worker.running import ContextOf, Run


@dataclass(frozen=True)
class Executed:
    """Which nodes were executed, which were not, and what the nodes show."""

    executed: tuple[str, ...]
    cached: tuple[str, ...]
    ui: Mapping[str, JsonObject]


@dataclass(frozen=True)
class Executor:
    """Executes plans one node after the other; what is remembered is not executed again.

    It may execute several plans at once, in a thread each.
    """

    types: NodeTypes
    memory: ResultMemory
    instances: Instances = field(default_factory=Instances)

    @cached_property
    def catalogue(self) -> Catalogue:
        """Return the schemas of all node types."""
        return Catalogue({name: found.schema for name, found in self.types.items()})

    def execute(
        self,
        graph: Graph,
        plan: Plan,
        context_of: ContextOf,
        report: Report,
        scope: str = "",
        taken: Taken = nullcontext,
        computed: Callable[[], None] = lambda: None,
    ) -> Executed:
        """Execute what is not remembered, each node inside `taken`; raise NodeFailed or Interrupted.

        An Interrupted names the node in its facts. What finished before either is remembered.
        `computed` is called when all nodes were executed and only what they show is being made;
        another plan may be begun then, and one that wants the same results waits for them here.
        """
        self.memory.settle(scope, plan.fingerprints.values(), report.check)
        growing = GrowingGraph(graph, self.catalogue)
        holding = Holding(growing, plan, self.memory, scope)
        caller = Caller(self.types, growing, report, self.instances, scope)
        run = Run(holding, caller, context_of, taken, computed)
        try:
            run.execute()
        finally:
            caller.give_back()
            holding.close()
        return Executed(tuple(run.executed), holding.cached, run.ui)
