"""What of a JSON schema's change breaks those who read what was written under the old one."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from pydantic import BaseModel

Schema: TypeAlias = dict[str, Any]
# Prose about a field, never about its values.
PROSE = ("title", "description")


def schema_of(cls: type[BaseModel]) -> Schema:
    """Return the schema of a class, with all references put in and all prose left out."""
    whole = cls.model_json_schema(mode="validation")
    plain = _plain(whole, whole.get("$defs", {}))
    assert isinstance(plain, dict)
    plain.pop("$defs", None)
    return plain


def breaks(old: Schema, new: Schema, path: str = "") -> list[str]:
    """Name every field whose change makes old events unreadable or mean something else."""
    found = _fields(old, new, path) + _values(old, new, path)
    for part in ("items", "additionalProperties"):
        if isinstance(old.get(part), dict) and isinstance(new.get(part), dict):
            found += breaks(old[part], new[part], f"{path}[]")
        elif old.get(part) != new.get(part):
            found.append(f"{path}: {part} changed")
    return found


def _fields(old: Schema, new: Schema, path: str) -> list[str]:
    found = []
    before, after = old.get("properties", {}), new.get("properties", {})
    for name, schema in before.items():
        where = f"{path}.{name}" if path else name
        if name not in after:
            found.append(f"{where}: removed")
            continue
        if name in new.get("required", []) and name not in old.get("required", []):
            found.append(f"{where}: became required")
        found += breaks(schema, after[name], where)
    for name in after.keys() - before.keys():
        if name in new.get("required", []):
            found.append(f"{path}.{name}".lstrip(".") + ": new, but has no default")
    return found


def _values(old: Schema, new: Schema, path: str) -> list[str]:
    found = []
    if "enum" in old or "const" in old:
        gone = _choices(old) - _choices(new)
        if gone and ("enum" in new or "const" in new or new.get("type") != old.get("type")):
            found.append(f"{path}: no longer takes {', '.join(sorted(gone))}")
    elif "enum" in new or "const" in new:
        found.append(f"{path}: takes only some values now")
    gone = _variants(old) - _variants(new)
    if gone:
        found.append(f"{path}: no longer takes {', '.join(sorted(gone))}")
    known = {"properties", "required", "items", "additionalProperties", "enum", "const", "anyOf"}
    return found + [
        f"{path}: {name} changed from {old.get(name)!r} to {new.get(name)!r}"
        for name in sorted((old.keys() | new.keys()) - known)
        if old.get(name) != new.get(name)
    ]


def _choices(schema: Schema) -> set[str]:
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return {json.dumps(value) for value in values}


def _variants(schema: Schema) -> set[str]:
    return {json.dumps(variant, sort_keys=True) for variant in schema.get("anyOf", [])}


def _plain(value: Any, definitions: dict[str, Any], *, names: bool = False) -> Any:
    """Put references in and take prose out; under `names`, keys are names of fields."""
    if isinstance(value, list):
        return [_plain(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _plain(definitions[value["$ref"].rpartition("/")[2]], definitions)
    return {
        key: _plain(item, definitions, names=key == "properties" and not names)
        for key, item in value.items()
        if names or key not in PROSE
    }
