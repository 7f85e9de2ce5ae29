"""Values side by side on one wire: who takes one is called for each, who takes lists gets all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from libs.core.jsonvalue import JsonObject
from libs.graph.growing import as_link
from libs.graph.schema import NodeSchema
from libs.nodes.declare import Shown
from libs.nodes.expansion import Blocked, Expanded
from services.gpu_worker.results import size_of

Inputs: TypeAlias = Mapping[str, object]
Shows: TypeAlias = Callable[[], JsonObject | None]
Ui: TypeAlias = JsonObject | Shows | None


@dataclass(frozen=True)
class Several:
    """Values that a node put out as a list."""

    items: tuple[object, ...]

    @property
    def size_bytes(self) -> int:
        """What they take in memory."""
        return sum(size_of(item) for item in self.items)


@dataclass(frozen=True)
class Part:
    """What one call of a node gave: its outputs in order, what it shows, nodes in its place."""

    values: tuple[object, ...]
    ui: Ui = None
    nodes: Mapping[str, Mapping[str, Any]] | None = None


def is_mapped(schema: NodeSchema, inputs: Inputs) -> bool:
    """Say whether a node is called for each value of a list."""
    if schema.is_input_list:
        return False
    return any(isinstance(value, Several) for value in inputs.values())


def calls_of(schema: NodeSchema, inputs: Inputs) -> list[Inputs]:
    """Return the inputs of each call; the last value of a shorter list stays.

    An empty list is no call at all.
    """
    if schema.is_input_list:
        return [{name: _all(value) for name, value in inputs.items()}]
    lists = [value for value in inputs.values() if isinstance(value, Several)]
    if not lists:
        return [inputs]
    count = max(len(value.items) for value in lists) if all(one.items for one in lists) else 0
    return [
        {name: _one(value, number) for name, value in inputs.items()} for number in range(count)
    ]


def blocked_by(schema: NodeSchema, inputs: Inputs) -> Blocked | None:
    """Return what holds up a call, the first such input."""
    for value in inputs.values():
        held = value if schema.is_input_list and isinstance(value, list) else (value,)
        for item in held:
            if isinstance(item, Blocked):
                return item
    return None


def part_of(schema: NodeSchema, returned: Any) -> Part:
    """Return what a node returned, taken apart."""
    match returned:
        case Shown(value, ui):
            return Part(_outputs(schema, value), ui)
        case Expanded(nodes, outputs, ui):
            values = tuple(as_link(value) for value in _outputs(schema, outputs))
            return Part(values, ui, nodes)
    return Part(_outputs(schema, returned))


def values_of(
    schema: NodeSchema, rows: Sequence[tuple[Any, ...]], *, mapped: bool
) -> tuple[Any, ...]:
    """Return the outputs of a node from those of its calls: of several calls each is a list."""
    if not mapped:
        return _listed(schema, rows[0])
    return tuple(
        Several(tuple(item for row in rows for item in _items(row[at], out.is_list)))
        for at, out in enumerate(schema.outputs)
    )


def ui_of(parts: Sequence[Part]) -> Ui:
    """Return what all calls show, put together; made later if one of them is."""
    shown = [part.ui for part in parts if part.ui is not None]
    if not shown:
        return None
    if len(shown) == 1:
        return shown[0]
    if any(callable(ui) for ui in shown):
        return lambda: _together([ui() if callable(ui) else ui for ui in shown])
    return _together([ui for ui in shown if not callable(ui)])


def _outputs(schema: NodeSchema, returned: object) -> tuple[object, ...]:
    if isinstance(returned, Blocked):
        return (returned,) * len(schema.outputs)
    if returned is None:
        return ()
    return tuple(returned) if isinstance(returned, tuple) else (returned,)


def _all(value: object) -> list[object]:
    return list(value.items) if isinstance(value, Several) else [value]


def _one(value: object, number: int) -> object:
    if not isinstance(value, Several):
        return value
    return value.items[min(number, len(value.items) - 1)]


def _listed(schema: NodeSchema, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the outputs of one call, lists as values side by side."""
    if not any(output.is_list for output in schema.outputs):
        return values
    pairs = zip(schema.outputs, values, strict=True)
    return tuple(
        Several(tuple(_items(value, True))) if out.is_list else value for out, value in pairs
    )


def _items(value: Any, is_list: bool) -> Sequence[Any]:
    if isinstance(value, Several):
        return value.items
    return value if is_list and not isinstance(value, Blocked) else [value]


def _together(shown: Sequence[JsonObject | None]) -> JsonObject | None:
    whole: JsonObject = {}
    for ui in shown:
        for name, value in (ui or {}).items():
            before = whole.get(name)
            both = isinstance(before, list) and isinstance(value, list)
            whole[name] = [*before, *value] if both else value  # type: ignore[misc]
    return whole if any(ui is not None for ui in shown) else None
