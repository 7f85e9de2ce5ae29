"""Node schemas as JSON: what a worker says of node types that only it knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING as NO_FIELD_DEFAULT
from dataclasses import fields
from typing import Any, Final, cast

from libs.core.errors import Refused
from libs.core.jsonvalue import Json, JsonObject
from libs.graph.schema import InputSpec, NodeSchema, OutputSpec

# Fields that JSON knows as lists.
TUPLES: Final = frozenset({"options", "search_aliases"})
SETS: Final = frozenset({"validates"})


def to_json(schema: NodeSchema) -> JsonObject:
    """Return a schema without what is as usual."""
    return {
        **_told(schema, frozenset({"inputs", "outputs"})),
        "inputs": [_told(spec) for spec in schema.inputs],
        "outputs": [_told(spec) for spec in schema.outputs],
    }


def from_json(told: Json) -> NodeSchema:
    """Return the schema again, without fields that this version does not know.

    Raise Refused if it is none.
    """
    try:
        given = cast("JsonObject", told)
        inputs = cast("list[JsonObject]", given.get("inputs", []))
        outputs = cast("list[JsonObject]", given.get("outputs", []))
        return NodeSchema(
            **_read(NodeSchema, {k: v for k, v in given.items() if k not in ("inputs", "outputs")}),
            inputs=tuple(InputSpec(**_read(InputSpec, spec)) for spec in inputs),
            outputs=tuple(OutputSpec(**_read(OutputSpec, spec)) for spec in outputs),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise Refused("that is no node schema", reason=str(error)) from error


def _told(spec: Any, apart: frozenset[str] = frozenset()) -> JsonObject:
    said: JsonObject = {}
    for one in fields(spec):
        value = getattr(spec, one.name)
        if one.name in apart or value == _usual(one):
            continue
        if isinstance(value, frozenset):
            said[one.name] = cast("Json", sorted(value))
        elif isinstance(value, tuple):
            said[one.name] = list(value)
        else:
            said[one.name] = dict(value) if isinstance(value, Mapping) else value
    return said


def _usual(one: Any) -> object:
    if one.default_factory is not NO_FIELD_DEFAULT:
        return one.default_factory()
    return one.default


def _read(kind: type, told: Mapping[str, Json]) -> dict[str, Any]:
    known = {one.name for one in fields(kind)}
    given: dict[str, Any] = {}
    for name, value in told.items():
        if name not in known:
            continue
        if name in TUPLES and isinstance(value, list):
            given[name] = tuple(value)
        else:
            given[name] = frozenset(cast("list[str]", value)) if name in SETS else value
    return given
