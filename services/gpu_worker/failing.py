"""How a node fails: in text only, so that nothing of the run is kept alive."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Final

from libs.core.errors import Refused, StudioError
from libs.core.jsonvalue import Json, JsonObject
from libs.graph.value import Node

SUMMARY_CHARACTERS_MAX: Final = 200


class DependencyCycle(Refused):
    """Nodes that an expansion added wait for each other."""

    code = "dependency_cycle"
    # As clients know it.
    exception_type = "graph.DependencyCycleError"

    def __str__(self) -> str:
        return self.message


class NodeFailed(StudioError):
    """A node raised; `node` is the client's own that stands for it."""

    code = "node_failed"

    def __init__(self, node: Node, error: Exception, inputs: Mapping[str, object]) -> None:
        message = error.message if isinstance(error, StudioError) else str(error)
        super().__init__(message, node_id=node.id, node_type=node.type)
        self.node_id = node.id
        self.node_type = node.type
        self.exception_type = _type_name(error)
        self.exception_message = str(error)
        self.traceback = traceback.format_tb(error.__traceback__)
        self.current_inputs: JsonObject = {name: [summary(value)] for name, value in inputs.items()}
        self.retryable = not isinstance(error, Refused)
        self.executed: tuple[str, ...] = ()
        self.current_outputs: tuple[str, ...] = ()


def summary(value: object) -> Json:
    """Return a literal as it is, cut to a bound, and of anything else its kind."""
    if isinstance(value, str):
        return value[:SUMMARY_CHARACTERS_MAX]
    if value is None or isinstance(value, bool | int | float):
        return value
    return type(value).__name__


def _type_name(error: Exception) -> str:
    if isinstance(error, DependencyCycle):
        return error.exception_type
    kind = type(error)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
