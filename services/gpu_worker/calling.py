"""Calls node functions: for each value of a list, with what they want to know beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, TypeAlias

from libs.graph.growing import GrowingGraph
from libs.graph.value import Node
from libs.nodes.context import Context
from libs.nodes.declare import NodeType
from libs.nodes.expansion import CALL_NUMBER, Blocked
from services.gpu_worker.aside import Aside
from services.gpu_worker.instances import Instances, Key
from services.gpu_worker.report import Report
from services.gpu_worker.several import Inputs, blocked_by, calls_of

NodeTypes: TypeAlias = Mapping[str, NodeType[..., Any]]


@dataclass(frozen=True)
class Caller:
    """Calls the nodes of one execution; instances that it took are given back at the end."""

    types: NodeTypes
    graph: GrowingGraph
    report: Report
    instances: Instances
    scope: str
    _in_use: dict[Key, Any] = field(default_factory=dict)

    def wanted(self, node: Node, inputs: Inputs, context: Context) -> tuple[str, ...]:
        """Return which of its lazy inputs a node asks for."""
        found = self.types[node.type]
        if found.wants is None:
            return ()
        wanted: dict[str, None] = {}
        for given in calls_of(found.schema, self._with_hidden(node, inputs, context)):
            if blocked_by(found.schema, given) is None:
                said = found.wants(*self._first(node, context), **given)
                wanted.update(dict.fromkeys(said or ()))
        return tuple(wanted)

    def call(
        self,
        node: Node,
        inputs: Inputs,
        context: Context,
        aside: Aside,
    ) -> list[Any]:
        """Return what each call of a node returned; a Future of what an async one will."""
        found = self.types[node.type]
        returned: list[Any] = []
        calls = calls_of(found.schema, self._with_hidden(node, inputs, context))
        for number, given in enumerate(calls):
            held = blocked_by(found.schema, given)
            if held is not None:
                returned.append(self._held_up(node, held))
                continue
            if number:
                self.report.check()
            token = CALL_NUMBER.set(number)
            try:
                value: Any = found.function(*self._first(node, context), **given)
                returned.append(aside.begin(value) if isawaitable(value) else value)
            finally:
                CALL_NUMBER.reset(token)
        return returned

    def give_back(self) -> None:
        """Keep the instances for the next prompt."""
        for key, instance in self._in_use.items():
            self.instances.keep(key, instance)
        self._in_use.clear()

    def _with_hidden(self, node: Node, inputs: Inputs, context: Context) -> Inputs:
        found = self.types[node.type]
        return {**inputs, **hidden_of(lambda _: context, found, node.id, self.graph)}

    def _first(self, node: Node, context: Context) -> tuple[Any, ...]:
        found = self.types[node.type]
        first: tuple[Any, ...] = (context,) if found.wants_context else ()
        if found.instance is None:
            return first
        key = (self.scope, node.id, node.type)
        if key not in self._in_use:
            self._in_use[key] = self.instances.take(key, found.instance)
        return (self._in_use[key], *first)

    def _held_up(self, node: Node, held: Blocked) -> Blocked:
        """Tell why a node is not executed, once; what follows is silent."""
        if held.message is not None:
            self.report.blocked(node.id, held.message)
        return Blocked()


def hidden_of(
    context_of: Callable[[str], Context],
    found: NodeType[..., Any],
    node_id: str,
    graph: GrowingGraph | None = None,
) -> Inputs:
    """Return the hidden inputs that a function takes."""
    if not found.hidden_names:
        return {}
    context = context_of(node_id)
    values = {
        "PROMPT": context.prompt,
        "EXTRA_PNGINFO": context.extra_pnginfo,
        "UNIQUE_ID": node_id,
        "DYNPROMPT": graph,
    }
    return {name: values.get(found.schema.hidden[name]) for name in found.hidden_names}


def ended(returned: list[Any]) -> list[Any]:
    """Return what calls returned, those that were async among them."""
    return [one.result() if isinstance(one, Future) else one for one in returned]
