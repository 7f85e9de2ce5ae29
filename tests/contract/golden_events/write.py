"""Writes the golden files of events that have none, and takes over additions.

Call it as `python -m tests.contract.golden_events.write` after a change that the tests call
compatible. An example, once written, is never written again: it stands for what lies in archives.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from libs.events.base import Event
from libs.events.catalogue import EVENTS
from libs.events.envelope import Cause, wrap
from tests.contract.golden_events.compare import Schema, schema_of

HERE = Path(__file__).parent
SCHEMAS = HERE / "schemas"
EXAMPLES = HERE / "examples"
TRACEPARENT = f"00-{'0af7' * 8}-{'b7ad' * 4}-01"
NOON = datetime(2026, 1, 2, 12, 0, 0, 345000, tzinfo=UTC)


def name_of(cls: type[Event]) -> str:
    """Return the file name of this version of an event."""
    return f"{cls.__name__}.v{cls.version}.json"


def render(value: object) -> str:
    """Return the text of a golden file."""
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def sample(schema: Schema, name: str = "") -> Any:
    """Return a value that fits `schema`, the same at every call."""
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], name)
    match schema["type"]:
        case "object" if "properties" in schema:
            return {key: sample(field, key) for key, field in schema["properties"].items()}
        case "object":
            return {"some": sample(schema["additionalProperties"], name)}
        case "array":
            return [sample(schema["items"], name)]
    text = NOON.isoformat() if schema.get("format") == "date-time" else f"a {name}"
    return {"string": text, "integer": 7, "number": 1.5, "boolean": True}[schema["type"]]


def example_of(cls: type[Event]) -> bytes:
    """Return the bytes of an example of this event on the bus."""
    return wrap(
        cls.model_validate(sample(schema_of(cls))),
        event_id="01977a3e-0000-7000-8000-000000000001",
        tenant="acme",
        source=f"/studio/{cls.owner}",
        time=NOON,
        cause=Cause("01977a3e-0000-7000-8000-000000000000", "", TRACEPARENT),
    )


def main() -> None:
    """Write what is missing and refresh schemas."""
    SCHEMAS.mkdir(exist_ok=True)
    EXAMPLES.mkdir(exist_ok=True)
    for cls in EVENTS.values():
        (SCHEMAS / name_of(cls)).write_text(render(schema_of(cls)))
        example = EXAMPLES / name_of(cls)
        if not example.exists():
            example.write_text(render(json.loads(example_of(cls))))


if __name__ == "__main__":
    main()
