"""Events are for ever: what was written once must be readable by all that comes later."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest
from pydantic import BaseModel

from libs.core.jsonvalue import JsonObject
from libs.events.base import Event
from libs.events.catalogue import EVENTS, class_of
from libs.events.envelope import unwrap
from libs.events.upcasts import UPCASTS, Upcast, upcast
from tests.contract.golden_events.compare import Schema, breaks, schema_of
from tests.contract.golden_events.write import EXAMPLES, SCHEMAS, name_of, render

WRITE = "`python -m tests.contract.golden_events.write`"
CLASSES = list(EVENTS.values())
EXAMPLE_FILES = sorted(EXAMPLES.glob("*.json"))


def versioned(path: Path) -> tuple[str, int]:
    name, _, version = path.stem.partition(".v")
    return name, int(version)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_an_event_keeps_the_schema_it_was_released_with(cls: type[Event]):
    path = SCHEMAS / name_of(cls)
    assert path.exists(), f"{path.name} is new: write it with {WRITE}"
    golden: Schema = json.loads(path.read_text())
    broken = breaks(golden, schema_of(cls))
    assert not broken, (
        f"{cls.__name__} v{cls.version} no longer reads what was written: {'; '.join(broken)}. "
        "Raise its version and add an upcast."
    )
    assert golden == schema_of(cls), f"{path.name} lacks additions: take them over with {WRITE}"


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_every_version_that_was_ever_released_can_be_lifted_to_the_newest(path: Path):
    name, version = versioned(path)
    newest = class_of(name).version
    for step in range(version, newest):
        assert (name, step) in UPCASTS, f"no upcast from {name} v{step}"


@pytest.mark.parametrize("path", EXAMPLE_FILES, ids=lambda path: path.stem)
def test_every_example_that_was_ever_written_is_still_read(path: Path):
    name, _ = versioned(path)
    written = json.loads(path.read_text())
    recorded = unwrap(path.read_bytes(), seq=1, subject="evt.v1.acme.x.y")
    assert type(recorded.event) is class_of(name)
    assert recorded.event_id == written["id"]
    assert recorded.tenant == "acme"
    if path.name == name_of(type(recorded.event)):
        now = recorded.event.model_dump(mode="json")
        lost = {key for key, value in written["data"].items() if now.get(key) != value}
        assert not lost, f"{name} reads these fields differently: {sorted(lost)}"


def test_every_event_has_an_example():
    have = {path.name for path in EXAMPLE_FILES}
    assert {name_of(cls) for cls in CLASSES} <= have, f"write them with {WRITE}"


def test_golden_files_are_written_in_one_form():
    for path in (*SCHEMAS.glob("*.json"), *EXAMPLE_FILES):
        assert path.read_text() == render(json.loads(path.read_text())), path.name


class Inner(BaseModel):
    size: int
    label: str = ""


class Outer(BaseModel):
    one: Inner
    many: tuple[Inner, ...] = ()
    kind: str = "x"


OLD = schema_of(Outer)


def changed(*path: str, **fields) -> Schema:
    new = deepcopy(OLD)
    place = new
    for key in path:
        place = place[key]
    place.update(fields)
    return new


def without(*path: str) -> Schema:
    new = deepcopy(OLD)
    place = new
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return new


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (without("properties", "kind"), "kind: removed"),
        (without("properties", "one", "properties", "label"), "one.label: removed"),
        (without("properties", "many", "items", "properties", "size"), "many[].size: removed"),
        (changed(required=["one", "kind"]), "kind: became required"),
        (
            changed(
                properties={**OLD["properties"], "more": {"type": "string"}},
                required=["one", "more"],
            ),
            "more: new, but has no default",
        ),
        (
            changed("properties", "kind", type="integer"),
            "kind: type changed from 'string' to 'integer'",
        ),
        (
            changed("properties", "kind", default="y"),
            "kind: default changed from 'x' to 'y'",
        ),
        (changed("properties", "kind", enum=["x"]), "kind: takes only some values now"),
    ],
)
def test_the_comparison_names_the_field_that_broke(new: Schema, message: str):
    assert message in breaks(OLD, new)


def test_choices_may_be_added_and_not_taken_away():
    old, new = {"type": "string", "enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b", "c"]}
    assert breaks(old, new, "x") == []
    assert breaks(new, old, "x") == ['x: no longer takes "c"']
    null, number = {"type": "null"}, {"type": "integer"}
    assert breaks({"anyOf": [number]}, {"anyOf": [number, null]}, "x") == []
    assert breaks({"anyOf": [number, null]}, {"anyOf": [number]}, "x") == [
        'x: no longer takes {"type": "null"}'
    ]


def test_a_new_field_with_a_default_breaks_nothing():
    more = {**OLD["properties"], "more": {"type": "string", "default": ""}}
    assert breaks(OLD, changed(properties=more)) == []
    assert breaks(OLD, OLD) == []


def test_upcasts_are_climbed_one_step_at_a_time():
    steps: dict[tuple[str, int], Upcast] = {
        ("RunQueued", 1): lambda data: {**data, "tier": "free"},
        ("RunQueued", 2): lambda data: {**data, "tier": f"{data['tier']}!"},
        ("Other", 3): lambda data: {**data, "wrong": True},
    }
    first: JsonObject = {"number": 1}
    assert upcast("RunQueued", 1, first, steps) == {"number": 1, "tier": "free!"}
    assert upcast("RunQueued", 2, {"tier": "pro"}, steps) == {"tier": "pro!"}
    assert upcast("RunQueued", 3, first, steps) == first
    assert first == {"number": 1}
