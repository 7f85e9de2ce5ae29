"""The bodies that clients read when a prompt is refused, byte for byte what they know."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from libs.graph.tiers import ENTERPRISE, FREE
from services.validator.domain.verdict import Accepted, RefusedPrompt, verdict
from tests.unit.libs.graph.sample import CATALOGUE, chain, changed, comfy, hip35, used

GOLDEN = Path(__file__).parent / "errors"


def without(node_id: str, name: str) -> dict[str, Any]:
    prompt = comfy()
    del prompt[node_id]["inputs"][name]
    return prompt


def cyclic() -> dict[str, Any]:
    prompt = changed("5", latent_image=["8", 0])
    prompt["8"] = used("VAEEncode", pixels=["6", 0], vae=["1", 2])
    return prompt


def partly_valid() -> dict[str, Any]:
    prompt = comfy()
    prompt["8"] = used("PreviewImage", images=["4", 0])
    return prompt


def with_upload(name: str) -> dict[str, Any]:
    return {"1": used("LoadImage", image=name), "2": used("PreviewImage", images=["1", 0])}


def titled() -> dict[str, Any]:
    prompt = comfy()
    prompt["3"] = {"inputs": {}, "class_type": "FancyNode", "_meta": {"title": "My fancy node"}}
    return prompt


def of_version(version: int) -> dict[str, Any]:
    return {**hip35(), "version": version}


CASES: dict[str, Callable[[], Any]] = {
    "bad_linked_input": lambda: changed("6", vae=["1", 2, 3]),
    "custom_validation_failed": lambda: with_upload("cat.png"),
    "dependency_cycle": cyclic,
    "editor_format": lambda: {"version": 1, "nodes": [], "links": []},
    "exception_during_inner_validation": lambda: changed("6", vae=["99", 0]),
    "exception_during_validation": lambda: changed("7", images=["6", 1]),
    "invalid_input_type": lambda: changed("5", steps="many"),
    "missing_node_type": titled,
    "no_class_type": lambda: {"3": {"inputs": {}}},
    "not_an_object": lambda: [1, 2],
    "not_finite": lambda: changed("5", cfg=float("nan")),
    "partly_valid": partly_valid,
    "prompt_no_outputs": lambda: {"1": used("MakeIMAGE")},
    "required_input_missing": lambda: without("7", "images"),
    "return_type_mismatch": lambda: changed("6", samples=["1", 0]),
    "too_long_text": lambda: changed("2", text="x" * 10_001),
    "too_many_nodes": lambda: chain(501),
    "unknown_output_name": lambda: changed("6", vae=["1", "UNET"]),
    "value_bigger_than_max": lambda: changed("5", cfg=100.5),
    "value_not_in_list": lambda: changed("1", ckpt_name="gone.safetensors"),
    "value_not_in_long_list": lambda: {
        "1": used("Many", letter="z"),
        "2": used("SaveImage", images=["1", 0], filename_prefix="a"),
    },
    "value_smaller_than_min": lambda: changed("4", width=8),
    "wrong_version": lambda: of_version(2),
}
TIER_CASES: dict[str, Callable[[], Any]] = {
    "tier_batch": lambda: changed("4", batch_size=2),
    "tier_model": lambda: changed("1", ckpt_name="flux1-dev.safetensors"),
    "tier_resolution": lambda: changed("4", width=1032, height=2048),
    "tier_steps": lambda: changed("5", steps=31),
}


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def told(prompt: Any, tier: Any) -> dict[str, Any]:
    found = verdict(prompt, CATALOGUE, tier, known_files=frozenset(), weight_sizes={})
    if isinstance(found, RefusedPrompt):
        return {"status": found.status, "error": found.error, "node_errors": found.node_errors}
    return {"status": 200, "outputs": list(found.outputs), "node_errors": found.node_errors}


@pytest.mark.covers("R190")
@pytest.mark.parametrize("name", CASES)
def test_a_refusal_reads_as_clients_know_it(name: str):
    assert told(CASES[name](), ENTERPRISE) == golden(name)


@pytest.mark.covers("R351", "R352", "R353", "R354")
@pytest.mark.parametrize("name", TIER_CASES)
def test_a_refusal_by_tier_names_field_limit_and_value(name: str):
    assert told(TIER_CASES[name](), FREE) == golden(name)


def test_every_golden_body_has_its_case():
    assert {path.stem for path in GOLDEN.glob("*.json")} == {*CASES, *TIER_CASES}


@pytest.mark.covers("R106", "R190")
def test_the_specifications_example_is_accepted_as_it_stands():
    found = verdict(hip35(), CATALOGUE, FREE, known_files=frozenset(), weight_sizes={})
    assert isinstance(found, Accepted)
    assert (found.outputs, found.node_errors) == (("7",), {})
