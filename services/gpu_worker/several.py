"""Values side by side on one wire: who takes one is called for each, who takes lists gets all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from libs.core.jsonvalue import JsonObject
from libs.graph.schema import NodeSchema
from libs.nodes.declare import Shown

Inputs: TypeAlias = Mapping[str, object]
Call: TypeAlias = Callable[[Inputs], Any]


@dataclass(frozen=True)
class Several:
    """Values that a node put out as a list."""

    items: tuple[object, ...]

    @property
    def size_bytes(self) -> int:
        """What they take in memory."""
        return sum(getattr(item, "size_bytes", 0) for item in self.items)


def called(schema: NodeSchema, call: Call, inputs: Inputs) -> Any:
    """Call a node once, or once for each value of its longest list; the last of shorter ones stays.

    Of several calls each output becomes a list, and what they show is put together.
    """
    if schema.is_input_list:
        return _listed(schema, call({name: _all(value) for name, value in inputs.items()}))
    lists = [value for value in inputs.values() if isinstance(value, Several)]
    if not lists:
        return _listed(schema, call(inputs))
    count = max(len(value.items) for value in lists)
    returned = [
        call({name: _one(value, number) for name, value in inputs.items()})
        for number in range(count if all(value.items for value in lists) else 0)
    ]
    return _gathered(schema, returned)


def outputs_of(returned: object) -> tuple[object, ...]:
    """Return what a node put out, in order."""
    if returned is None:
        return ()
    return tuple(returned) if isinstance(returned, tuple) else (returned,)


def _all(value: object) -> list[object]:
    return list(value.items) if isinstance(value, Several) else [value]


def _one(value: object, number: int) -> object:
    if not isinstance(value, Several):
        return value
    return value.items[min(number, len(value.items) - 1)]


def _listed(schema: NodeSchema, returned: Any) -> Any:
    """Return what was returned, lists as values side by side."""
    if not any(output.is_list for output in schema.outputs):
        return returned
    if isinstance(returned, Shown):
        return Shown(_listed(schema, returned.value), returned.ui)
    values = zip(schema.outputs, outputs_of(returned), strict=True)
    return tuple(_several(value) if out.is_list else value for out, value in values)


def _several(value: Any) -> Several:
    return Several(tuple(value))


def _gathered(schema: NodeSchema, returned: Sequence[Any]) -> Any:
    """Return the outputs of several calls, each a list of all that came out there."""
    values: list[tuple[Any, ...]] = [
        outputs_of(one.value if isinstance(one, Shown) else one) for one in returned
    ]
    gathered = tuple(
        Several(tuple(item for row in values for item in (row[at] if out.is_list else [row[at]])))
        for at, out in enumerate(schema.outputs)
    )
    shown = [one.ui for one in returned if isinstance(one, Shown)]
    if not shown:
        return gathered
    if any(callable(ui) for ui in shown):
        return Shown(gathered, lambda: _together([ui() if callable(ui) else ui for ui in shown]))
    return Shown(gathered, _together([ui for ui in shown if not callable(ui)]))


def _together(shown: Sequence[JsonObject]) -> JsonObject:
    whole: JsonObject = {}
    for ui in shown:
        for name, value in ui.items():
            before = whole.get(name)
            both = isinstance(before, list) and isinstance(value, list)
            whole[name] = [*before, *value] if both else value  # type: ignore[misc]
    return whole
