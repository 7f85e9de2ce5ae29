"""Values of wires as plain trees and arrays, so that another process can take them up.

Only a closed set of kinds travels: what does not belong to it makes the whole value stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, TypeAlias, cast

from libs.core.errors import Refused
from libs.core.jsonvalue import Json
from libs.sampling.conditioning import Area, Conditioning, Entry, Hole, Painted, Share
from libs.sampling.levels import Array

Arrays: TypeAlias = dict[str, Array]
TEXTS: Final[tuple[type, ...]] = (Conditioning, Entry, Area, Share, Painted, Hole)
DEPTH_MAX: Final = 16


class Stays(Exception):
    """The value, or a part of it, cannot travel."""


@dataclass(frozen=True)
class Carrier:
    """Takes values apart and puts them together: kinds by class name, arrays by their class."""

    kinds: Mapping[str, type]
    array: type

    @classmethod
    def of(cls, array: type, *kinds: type) -> Carrier:
        """Return one for the kinds of an engine beside those of texts."""
        return cls({kind.__name__: kind for kind in (*TEXTS, *kinds)}, array)

    def apart(self, values: Sequence[object]) -> tuple[Json, Arrays]:
        """Return a tree, and the arrays that it names; raise Stays."""
        arrays: Arrays = {}
        return [self._tree(value, arrays, 0) for value in values], arrays

    def together(self, tree: Json, arrays: Mapping[str, Array]) -> tuple[object, ...]:
        """Return the values again; raise Refused if the tree was made by another version."""
        try:
            return tuple(self._value(part, arrays) for part in cast("list[Json]", tree))
        except (KeyError, TypeError, ValueError) as error:
            raise Refused("the kept value cannot be read", reason=str(error)) from error

    def _tree(self, value: object, arrays: Arrays, depth: int) -> Json:
        if depth > DEPTH_MAX:
            raise Stays("deep")
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, self.array):
            known = (name for name, array in arrays.items() if array is value)
            name = next(known, str(len(arrays)))
            arrays[name] = value
            return {"array": name}
        if isinstance(value, tuple | list):
            each = [self._tree(part, arrays, depth + 1) for part in value]
            return {"tuple" if isinstance(value, tuple) else "list": each}
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return {
                "map": {key: self._tree(part, arrays, depth + 1) for key, part in value.items()}
            }
        if is_dataclass(value) and self.kinds.get(type(value).__name__) is type(value):
            parts = {
                part.name: self._tree(getattr(value, part.name), arrays, depth + 1)
                for part in fields(value)
            }
            return {"kind": type(value).__name__, "fields": parts}
        raise Stays(type(value).__name__)

    def _value(self, tree: Json, arrays: Mapping[str, Array]) -> Any:
        if not isinstance(tree, dict):
            return tree
        if "array" in tree:
            return arrays[str(tree["array"])]
        if "tuple" in tree:
            return tuple(self._value(part, arrays) for part in cast("list[Json]", tree["tuple"]))
        if "list" in tree:
            return [self._value(part, arrays) for part in cast("list[Json]", tree["list"])]
        if "map" in tree:
            parts = cast("dict[str, Json]", tree["map"])
            return {key: self._value(part, arrays) for key, part in parts.items()}
        parts = cast("dict[str, Json]", tree["fields"])
        given = {name: self._value(part, arrays) for name, part in parts.items()}
        return self.kinds[str(tree["kind"])](**given)
