"""However much is wrong with a graph, what is said of it stays small and clear."""

from __future__ import annotations

import json
from typing import Any

import pytest

from libs.bus.limits import PAYLOAD_BYTES_MAX
from libs.graph.schema import Catalogue
from libs.graph.tiers import tier_named
from libs.nodes.registry import schemas
from services.validator.domain.bounds import (
    FAULTS_BYTES_MAX,
    FAULTS_MAX,
    NODE_IDS_BYTES_MAX,
    bounded_node_errors,
)
from services.validator.domain.verdict import Accepted, RefusedPrompt, verdict

NODES = 500


def judged(prompt: Any) -> Accepted | RefusedPrompt:
    catalogue = Catalogue(schemas(), {"checkpoints": ("demo.safetensors",)})
    return verdict(prompt, catalogue, tier_named("owner"), known_files=(), weight_sizes={})


def refused(prompt: Any) -> RefusedPrompt:
    reached = judged(prompt)
    assert isinstance(reached, RefusedPrompt)
    return reached


def said(reached: RefusedPrompt) -> int:
    return len(json.dumps([reached.error, reached.node_errors]))


def faults_of(node_errors: Any) -> int:
    return sum(len(entry["errors"]) for entry in node_errors.values())


def all_wrong(length: int = 3) -> dict[str, Any]:
    """Return as many nodes as there may be, with four faults each."""
    wrong = {"width": "x" * 5_00, "height": [], "batch_size": "y" * 500, "color": {}}
    nodes: dict[str, Any] = {}
    for number in range(NODES // 2):
        name = f"{number:0{length}}"
        nodes[f"a{name}"] = {"class_type": "EmptyImage", "inputs": wrong}
        shows = {"class_type": "PreviewImage", "inputs": {"images": [f"a{name}", 0]}}
        nodes[f"b{name}"] = shows
    return nodes


@pytest.mark.covers("P10")
def test_a_thousand_faults_are_counted_and_the_first_are_shown():
    reached = refused(all_wrong())
    assert reached.status == 400
    shown = faults_of(reached.node_errors)
    assert 0 < shown <= FAULTS_MAX
    extra_info = reached.error["extra_info"]
    assert isinstance(extra_info, dict)
    assert extra_info["faults_shown"] == shown
    assert isinstance(extra_info["faults"], int)
    assert extra_info["faults"] > shown
    assert said(reached) < PAYLOAD_BYTES_MAX


def test_a_cycle_through_all_nodes_is_told_in_an_answer_of_bounded_size():
    def link(number: int) -> dict[str, Any]:
        source = f"{(number + 1) % (NODES - 1):060}"
        return {"class_type": "ImageInvert", "inputs": {"image": [source, 0]}}

    ring = {f"{number:060}": link(number) for number in range(NODES - 1)}
    shown = {"class_type": "PreviewImage", "inputs": {"images": [f"{0:060}", 0]}}
    reached = refused({**ring, "p": shown})
    assert reached.code == "prompt_outputs_failed_validation"
    assert "Dependency cycle" in str(reached.error["details"])
    assert said(reached) < PAYLOAD_BYTES_MAX


def test_few_faults_are_told_as_they_are():
    missing = {"1": {"class_type": "PreviewImage", "inputs": {}}}
    assert "faults" not in json.dumps(refused(missing).error)


def test_one_fault_is_shown_however_large_it_is():
    large: Any = {"1": {"errors": ["x" * (FAULTS_BYTES_MAX + 1)] * 2, "dependent_outputs": []}}
    kept, faults, shown = bounded_node_errors(large)
    assert (faults, shown) == (2, 1)
    assert kept


def test_node_ids_fit_into_the_events_that_name_them():
    def graph(length: int) -> dict[str, Any]:
        good = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
        nodes: dict[str, Any] = {"1": {"class_type": "EmptyImage", "inputs": good}}
        shown = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
        return nodes | {f"{number:0{length}}" + "é": shown for number in range(2, NODES)}

    assert isinstance(judged(graph(60)), Accepted)
    reached = refused(graph(190))
    assert (reached.status, reached.code) == (400, "node_ids_too_long")
    assert str(NODE_IDS_BYTES_MAX) in str(reached.error["message"])
