"""The validator's verdict: from a document to what will be executed, or to why nothing will."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings

from libs.graph.cost import Work
from libs.graph.needs import WeightsNeed
from libs.graph.schema import Catalogue
from libs.graph.tiers import ENTERPRISE, FREE, PRO, Tier
from libs.graph.value import Node
from libs.nodes.engines import TORCH_SAMPLERS, able
from libs.nodes.registry import schemas
from libs.sampling.samplers import SAMPLERS
from services.validator.domain.verdict import Accepted, RefusedPrompt, verdict
from tests.unit.libs.graph.sample import CATALOGUE, SDXL, chain, changed, comfy, hip35, used
from tests.unit.libs.graph.strategies import json_values, wild_prompts

# The example names SDXL, which runs in 8 GB and more; the estimate of its files is less.
SDXL_MIB_MIN = 8 * 10**9 // 2**20
REAL = Catalogue(schemas(), {"checkpoints": (SDXL,)})


def judged(
    prompt: Any,
    tier: Tier = FREE,
    *,
    files: frozenset[str] = frozenset(),
    catalogue: Catalogue = CATALOGUE,
    targets: tuple[str, ...] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Accepted | RefusedPrompt:
    sizes = sizes or {"loras/film_grain.safetensors": 210}
    return verdict(prompt, catalogue, tier, targets, known_files=files, weight_sizes=sizes)


def accepted(prompt: Any, tier: Tier = FREE, **more: Any) -> Accepted:
    found = judged(prompt, tier, **more)
    assert isinstance(found, Accepted), found
    return found


def refused(prompt: Any, tier: Tier = FREE, **more: Any) -> RefusedPrompt:
    found = judged(prompt, tier, **more)
    assert isinstance(found, RefusedPrompt)
    return found


@pytest.mark.covers("R106", "R190", "R264", "R265")
@pytest.mark.parametrize("catalogue", [CATALOGUE, REAL], ids=["sample", "real node types"])
@pytest.mark.parametrize("prompt", [hip35(), comfy()], ids=["hip35", "comfyui"])
def test_the_example_is_accepted_with_its_needs_and_its_work(prompt: Any, catalogue: Catalogue):
    found = accepted(prompt, catalogue=catalogue)
    assert found.outputs == ("7",)
    assert found.node_errors == {}
    assert found.needs == (WeightsNeed("checkpoints", SDXL),)
    assert found.vram_mib == SDXL_MIB_MIN
    assert found.work == Work(30 * (1024 * 1024 / 1e6), 1, 30, 1024, 1024)


@pytest.mark.covers("R265")
def test_the_memory_is_the_sum_of_what_is_named():
    prompt = changed("5", model=["8", 0])
    prompt["8"] = used(
        "LoraLoader",
        model=["1", 0],
        clip=["1", 1],
        lora_name="film_grain.safetensors",
        strength_model=0.5,
    )
    assert accepted(prompt).vram_mib == SDXL_MIB_MIN
    sizes = {f"checkpoints/{SDXL}": 7_500, "loras/film_grain.safetensors": 210}
    assert accepted(prompt, sizes=sizes).vram_mib == 7_500 + 210


@pytest.mark.covers("R190")
def test_a_partly_valid_graph_is_accepted_and_says_what_is_skipped():
    prompt = comfy()
    prompt["8"] = used("PreviewImage", images=["4", 0])
    found = accepted(prompt)
    assert found.outputs == ("7",)
    assert list(found.node_errors) == ["8"]


def test_what_a_skipped_output_needs_is_neither_fetched_nor_priced_nor_limited():
    prompt = comfy()
    prompt["8"] = used("PreviewImage", images=["10", 0], width=1)
    prompt["9"] = used("LoadImage", image="gone.png")
    prompt["10"] = used("ImageUpscaleWithModel", upscale_model=["11", 0], image=["9", 0])
    prompt["11"] = used("UpscaleModelLoader", model_name="4x.safetensors")
    prompt["12"] = used("VAEDecode", samples=["13", 0])
    prompt["13"] = used("EmptyLatentImage", width=8192, height=8192, batch_size=1)
    prompt["14"] = used("PreviewImage", images=["12", 0])
    found = accepted(prompt)
    assert found.outputs == ("7",)
    assert found.needs == (WeightsNeed("checkpoints", SDXL),)
    assert found.work.images == 1


def test_targets_choose_what_is_executed():
    prompt = comfy()
    prompt["8"] = used("PreviewImage", images=["6", 0])
    assert accepted(prompt, targets=("8",)).outputs == ("8",)
    assert refused(prompt, targets=("5",)).code == "prompt_no_outputs"


@pytest.mark.covers("R373", "R375")
@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        (chain(501), "too_many_nodes"),
        (changed("2", text="x" * 10_001), "value_too_long"),
        (changed("5", steps=0), "prompt_outputs_failed_validation"),
        ({"1": used("Gone")}, "missing_node_type"),
        (None, "invalid_prompt"),
        ({}, "prompt_no_outputs"),
    ],
)
def test_a_wrong_graph_is_refused_with_400(prompt: Any, code: str):
    found = refused(prompt)
    assert (found.status, found.code) == (400, code)


@pytest.mark.covers("R351", "R352", "R353", "R354")
@pytest.mark.parametrize(
    ("prompt", "field"),
    [
        (changed("4", width=1032), "width"),
        (changed("4", height=1032), "height"),
        (changed("5", steps=31), "steps"),
        (changed("4", batch_size=2), "batch_size"),
        (changed("1", ckpt_name="flux1-dev.safetensors"), "ckpt_name"),
    ],
)
def test_what_the_tier_does_not_allow_is_refused_with_403_and_pro_may(prompt: Any, field: str):
    found = refused(prompt)
    assert (found.status, found.code) == (403, "tier_limit_exceeded")
    assert dict[str, Any](found.error)["extra_info"]["field"] == field
    accepted(prompt, PRO)


def test_a_wrong_graph_is_told_before_the_tier_is_asked():
    assert refused(changed("5", steps=99999)).status == 400


def test_only_uploads_of_the_caller_are_known():
    prompt = {"1": used("LoadImage", image="cat.png"), "2": used("PreviewImage", images=["1", 0])}
    accepted(prompt, files=frozenset({"cat.png"}))
    found = refused(prompt, files=frozenset({"dog.png"}))
    assert found.status == 400
    entry: Any = found.node_errors["1"]
    assert entry["errors"][0]["details"] == "image - Invalid image file: cat.png"


@settings(deadline=None, max_examples=150)
@given(json_values | wild_prompts())
def test_every_document_gets_a_verdict(prompt: Any):
    found = judged(prompt, ENTERPRISE)
    if isinstance(found, Accepted):
        assert found.outputs
    else:
        assert found.status in {400, 403}
        assert found.error["message"]


@settings(deadline=None, max_examples=60)
@given(wild_prompts())
def test_the_same_document_gets_the_same_verdict(prompt: Any):
    assert repr(judged(prompt)) == repr(judged(prompt))


@pytest.mark.covers("R061")
def test_a_graph_may_go_to_any_engine_that_knows_its_node_types():
    white: Any = {
        "1": used("EmptyImage", width=64, height=64, batch_size=1, color=0xFFFFFF),
        "2": used("SaveImage", images=["1", 0], filename_prefix="x"),
    }
    assert accepted(white, catalogue=REAL).engines == ()
    scaled = used("ImageScale", image=["1", 0], upscale_method="lanczos", width=32, height=32)
    scaled["inputs"]["crop"] = "disabled"
    white |= {"3": scaled, "2": used("SaveImage", images=["3", 0], filename_prefix="x")}
    assert accepted(white, catalogue=REAL).engines == ("torch",)


@pytest.mark.parametrize("sampler", sorted(TORCH_SAMPLERS))
def test_a_sampler_whose_noise_only_torch_draws_goes_to_torch(sampler: str):
    plain = Node("1", "KSampler", {"sampler_name": "euler"})
    assert able([plain]) == ()
    assert able([plain, Node("2", "KSamplerSelect", {"sampler_name": sampler})]) == ("torch",)
    assert sampler in SAMPLERS


@pytest.mark.covers("R061")
@pytest.mark.parametrize("engine", ["torch", "portable"])
def test_an_engine_that_the_caller_wishes_for_is_the_only_one(engine: str):
    found = verdict(
        comfy(), CATALOGUE, PRO, known_files=frozenset(), weight_sizes={}, engine=engine
    )
    assert isinstance(found, Accepted), found
    assert found.engines == (engine,)
