"""What node types say of their own inputs, before anything is executed."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import structlog

from libs.core.jsonvalue import Json, JsonObject
from libs.graph.check_node import Inputs, Judge
from libs.graph.effective import effective_inputs
from libs.graph.refusal import problem
from libs.graph.value import Link, Node
from libs.nodes.declare import WIRED_TYPES, Judged, NodeType

log = structlog.get_logger(__name__)

NodeTypes: TypeAlias = Mapping[str, NodeType[..., Any]]
Hidden: TypeAlias = Callable[[NodeType[..., Any], str], Mapping[str, object]]
ALWAYS: Final = float("nan")


def judge_of(types: NodeTypes) -> Judge:
    """Return who asks these node types what is wrong with a node's inputs."""

    def judge(node_type: str, inputs: Inputs, wired: Mapping[str, str]) -> Sequence[JsonObject]:
        found = types.get(node_type)
        if found is None or found.judge is None:
            return ()
        return _judged(found, found.judge, inputs, wired)

    return judge


def changes_of(
    nodes: Sequence[Node], types: NodeTypes, hidden: Hidden = lambda _type, _node: {}
) -> dict[str, object]:
    """Return what the types of these nodes say of their change, by node.

    A type that cannot say it is taken for changed: its nodes are executed.
    """
    said: dict[str, object] = {}
    for node in nodes:
        found = types[node.type]
        if found.changes is None:
            continue
        try:
            said[node.id] = found.changes(**_literals(found, node), **hidden(found, node.id))
        except Exception as error:
            log.warning("cannot_say_whether_it_changed", node_type=node.type, error=repr(error))
            said[node.id] = ALWAYS
    return said


def _literals(found: NodeType[..., Any], node: Node) -> dict[str, object]:
    return {
        name: _literal(found, value) for name, value in effective_inputs(node, found.schema).items()
    }


def _literal(found: NodeType[..., Any], value: Json | Link) -> object:
    plain = None if isinstance(value, Link) else value
    return [plain] if found.schema.is_input_list else plain


def _judged(
    found: NodeType[..., Any],
    judge: Callable[..., bool | str],
    inputs: Inputs,
    wired: Mapping[str, str],
) -> Sequence[JsonObject]:
    takes = Judged.by(judge)
    given = {
        name: _literal(found, value)
        for name, value in inputs.items()
        if takes.takes_all or name in takes.names
    }
    types = {WIRED_TYPES: dict(wired)} if takes.takes_types else {}
    try:
        said = judge(**given, **types)
    except Exception as error:
        return [_broken(error)]
    if said is True:
        return ()
    told = f" - {said}" if said is not False else ""
    return [
        problem(
            "custom_validation_failed",
            "Custom validation failed for node",
            f"{name}{told}",
            input_name=name,
        )
        for name in (*given, *types)
    ]


def _broken(error: Exception) -> JsonObject:
    lines: list[Json] = [*traceback.format_tb(error.__traceback__)]
    return problem(
        "exception_during_validation",
        "Exception when validating node",
        str(error),
        exception_type=type(error).__name__,
        traceback=lines,
    )
