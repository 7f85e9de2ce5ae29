"""A worker takes from others what is dear to make, and gives them what it made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from libs.core.errors import Refused
from libs.core.jsonvalue import JsonObject
from libs.graph.parse import parse
from libs.graph.plan import plan
from libs.graph.schema import Catalogue
from libs.nodes.registry import load
from services.gpu_worker.calls import Calls
from services.gpu_worker.results import Result, ResultMemory
from services.gpu_worker.sharing import Sharing, Task

GRAPH: JsonObject = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "ImageBlur", "inputs": {"image": ["2", 0], "blur_radius": 3, "sigma": 1}},
    "9": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
}


@dataclass
class Storage:
    """What the agent answers; `asked` and `fetched` are what the engine wanted to know."""

    kept: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def known_results(self, _mark: JsonObject, digests: Sequence[str]) -> dict[str, int]:
        self.asked += digests
        return {name: len(self.kept[name]) for name in digests if name in self.kept}

    def fetch_result(self, _mark: JsonObject, digest: str) -> bytes | None:
        self.fetched.append(digest)
        return self.kept.get(digest)

    def keep_result(self, _mark: JsonObject, digest: str, data: bytes) -> None:
        self.kept[digest] = data


class Plain:
    """A codec of plain values."""

    def to_bytes(self, values: Sequence[object]) -> bytes | None:
        return None if "stays" in values else json.dumps(list(values)).encode()

    def from_bytes(self, data: bytes) -> tuple[object, ...]:
        try:
            return tuple(json.loads(data))
        except ValueError as error:
            raise Refused("damaged") from error


def task(names: str = "") -> Task:
    types = load()
    catalogue = Catalogue({name: found.schema for name, found in types.items()})
    graph = parse(GRAPH)
    made = plan(graph, catalogue, ["9"])
    named = {node_id: f"{names}{node_id}" for node_id in made.order if node_id != "9"}
    return Task({}, "acme/ada", graph, made, catalogue, named)


def sharing(storage: Storage, bytes_max: int = 1000) -> Sharing:
    return Sharing(cast("Calls", cast("Any", storage)), ResultMemory(10**6), Plain(), bytes_max)


def remembered(worker: Sharing, node_id: str) -> Result | None:
    return worker.memory.get("acme/ada", task().plan.fingerprints[node_id])


def made(worker: Sharing, *node_ids: str, value: str = "picture") -> None:
    for node_id in node_ids:
        worker.memory.put("acme/ada", task().plan.fingerprints[node_id], Result((value,)))


def test_what_one_worker_gave_the_next_one_takes_and_needs_nothing_above_it() -> None:
    storage = Storage()
    first, second = sharing(storage, 10_000), sharing(storage, 10_000)
    made(first, "1", "2", "3")
    first.give(task(), {"1": 9.0, "2": 9.0, "3": 9.0})
    second.take(task())
    assert storage.fetched == ["3"]
    assert remembered(second, "3") == Result(("picture",))
    assert remembered(second, "2") is None


def test_cheap_results_are_neither_given_nor_looked_for_again() -> None:
    storage = Storage()
    worker = sharing(storage, 10_000)
    made(worker, "1", "2", "3")
    worker.give(task(), {"1": 0.001, "2": 0.001, "3": 9.0})
    assert set(storage.kept) == {"3"}
    worker.memory.free()
    worker.take(task("other"))
    assert storage.asked == ["other3"]


def test_an_output_is_every_prompts_own() -> None:
    storage = Storage()
    worker = sharing(storage)
    made(worker, "9")
    worker.give(task(), {"9": 9.0})
    worker.take(task())
    assert "9" not in storage.kept
    assert "9" not in storage.asked


def test_what_is_remembered_is_not_asked_for() -> None:
    storage = Storage()
    worker = sharing(storage)
    made(worker, "3")
    worker.take(task())
    assert storage.asked == []


@pytest.mark.parametrize("blob", [b"not what was put", b'["' + b"x" * 2000 + b'"]'])
def test_damaged_and_large_results_are_made_anew(blob: bytes) -> None:
    storage = Storage({"3": blob})
    worker = sharing(storage)
    worker.take(task())
    assert remembered(worker, "3") is None


def test_results_above_the_bound_and_those_that_cannot_travel_are_not_given() -> None:
    storage = Storage()
    small = sharing(storage, bytes_max=10)
    made(small, "3")
    small.give(task(), {"3": 9.0})
    worker = sharing(storage, 10_000)
    made(worker, "3", value="stays")
    worker.give(task(), {"3": 9.0})
    assert storage.kept == {}


def test_names_of_another_ground_are_other_names() -> None:
    storage = Storage()
    worker = sharing(storage, 10_000)
    made(worker, "3")
    worker.give(task("torch"), {"3": 9.0})
    other = sharing(storage, 10_000)
    other.take(task("onnx"))
    assert remembered(other, "3") is None
