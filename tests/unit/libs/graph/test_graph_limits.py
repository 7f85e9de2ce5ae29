"""The bounds of every workflow and of each tier: at the bound is in, one beyond is out."""

from __future__ import annotations

from typing import Any

import pytest

from libs.core.errors import Refused
from libs.graph.cost import work
from libs.graph.limits import exceeded, require_size, require_within, tier_refusal
from libs.graph.parse import parse
from libs.graph.reach import Reach
from libs.graph.refusal import GraphRefused
from libs.graph.tiers import DEFAULT_FAMILIES, ENTERPRISE, FREE, PRO, TIERS, Tier, tier_named
from tests.unit.libs.graph.sample import CATALOGUE, chain, changed, comfy, used

TIERED = [
    pytest.param(FREE, 1024, 30, 1, id="free"),
    pytest.param(PRO, 2048, 50, 4, id="pro"),
    pytest.param(ENTERPRISE, 4096, 100, 8, id="enterprise"),
]


def beyond(prompt: dict[str, Any], tier: Tier = FREE) -> list[tuple[str, str, Any]]:
    limits = exceeded(Reach.of(parse(prompt), CATALOGUE), tier)
    return [(limit.node_id, limit.field, limit.received) for limit in limits]


@pytest.mark.covers("R375")
def test_five_hundred_nodes_are_in_and_one_more_is_out():
    require_within(parse(chain(500)), CATALOGUE)
    with pytest.raises(GraphRefused) as caught:
        require_within(parse(chain(501)), CATALOGUE)
    assert caught.value.status == 400
    assert caught.value.error["message"] == "The workflow has 501 nodes; at most 500 are allowed"
    assert caught.value.error["extra_info"] == {
        "field": "nodes",
        "limit": 500,
        "received_value": 501,
    }


@pytest.mark.covers("R373")
def test_ten_thousand_characters_are_in_and_one_more_is_out():
    require_within(parse(changed("2", text="é" * 10_000)), CATALOGUE)
    with pytest.raises(GraphRefused) as caught:
        require_within(parse(changed("2", text="é" * 10_001)), CATALOGUE)
    refusal = caught.value
    assert refusal.status == 400
    assert refusal.error["details"] == "Node ID '#2', input 'text'"
    assert refusal.error["message"] == "A text of 10001 characters is longer than 10000"
    assert list(refusal.node_errors) == ["2"]


def test_a_long_text_counts_only_where_it_is_taken():
    require_within(parse(changed("2", unknown="x" * 10_001)), CATALOGUE)
    with pytest.raises(GraphRefused):
        require_within(parse({"1": used("Open", whatever="x" * 10_001)}), CATALOGUE)


@pytest.mark.covers("R374")
def test_a_mebibyte_is_in_and_one_byte_more_is_out():
    require_size(1_048_576)
    with pytest.raises(GraphRefused) as caught:
        require_size(1_048_577)
    assert caught.value.status == 413


@pytest.mark.covers("R351", "R356", "R362")
@pytest.mark.parametrize(("tier", "side", "_steps", "_batch"), TIERED)
@pytest.mark.parametrize("name", ["width", "height"])
def test_each_side_is_bounded_by_the_tier(
    tier: Tier, side: int, _steps: int, _batch: int, name: str
):
    assert beyond(changed("4", **{name: side}), tier) == []
    assert beyond(changed("4", **{name: side + 8}), tier) == [("4", name, side + 8)]


@pytest.mark.covers("R352", "R357", "R363")
@pytest.mark.parametrize(("tier", "_side", "steps", "_batch"), TIERED)
def test_steps_are_bounded_by_the_tier(tier: Tier, _side: int, steps: int, _batch: int):
    assert beyond(changed("5", steps=steps), tier) == []
    assert beyond(changed("5", steps=steps + 1), tier) == [("5", "steps", steps + 1)]


@pytest.mark.covers("R353", "R358", "R364")
@pytest.mark.parametrize(("tier", "_side", "_steps", "batch"), TIERED)
def test_the_batch_is_bounded_by_the_tier(tier: Tier, _side: int, _steps: int, batch: int):
    assert beyond(changed("4", batch_size=batch), tier) == []
    assert beyond(changed("4", batch_size=batch + 1), tier) == [("4", "batch_size", batch + 1)]


@pytest.mark.covers("R354", "R359", "R365")
@pytest.mark.parametrize(
    ("name", "free"),
    [
        ("sdxl_base_1.0.safetensors", True),
        ("sd_xl_base_1.0.safetensors", True),
        ("flux1-schnell.safetensors", True),
        ("FLUX/flux1-Schnell-fp8.safetensors", True),
        ("demo.safetensors", True),
        ("flux1-dev.safetensors", False),
        ("sd3.5_large.safetensors", False),
        ("sdxl/flux1-dev.safetensors", False),
    ],
)
def test_the_free_tier_has_its_own_models_and_the_others_have_all(name: str, free: bool):
    prompt = changed("1", ckpt_name=name)
    assert beyond(prompt) == ([] if free else [("1", "ckpt_name", name)])
    assert beyond(prompt, PRO) == beyond(prompt, ENTERPRISE) == []


def test_which_files_a_family_has_is_a_setting():
    families = {**DEFAULT_FAMILIES, "demo": ("flux1-dev.*",)}
    graph = parse(changed("1", ckpt_name="flux1-dev.safetensors"))
    assert exceeded(Reach.of(graph, CATALOGUE), FREE, families) == []


@pytest.mark.covers("R350", "R355", "R360", "R361", "R366", "R367")
def test_the_tiers_are_those_of_the_specification():
    assert [tier.generations_per_day for tier in (FREE, PRO, ENTERPRISE)] == [50, 1000, None]
    assert [tier.priority_queue for tier in (FREE, PRO, ENTERPRISE)] == [False, True, True]
    assert [tier.dedicated_gpu for tier in (FREE, PRO, ENTERPRISE)] == [False, False, True]
    assert tier_named("Team") is tier_named("developer") is PRO
    assert set(TIERS) >= {"free", "pro", "team", "developer", "enterprise"}
    with pytest.raises(Refused):
        tier_named("gold")


def test_a_picture_that_grows_too_large_is_named_where_it_does():
    prompt = changed("6", samples=["8", 0])
    prompt["8"] = used("LatentUpscaleBy", samples=["5", 0], scale_by=2.0)
    assert beyond(prompt) == [("8", "width", 2048), ("8", "height", 2048)]
    assert beyond(prompt, PRO) == []


def test_a_batch_that_grows_too_large_is_named_where_it_does():
    prompt = changed("5", latent_image=["8", 0])
    prompt["8"] = used("RepeatLatentBatch", samples=["4", 0], amount=5)
    assert beyond(prompt, PRO) == [("8", "batch_size", 5)]


def test_an_upscale_model_makes_each_side_four_times_as_long():
    prompt = changed("7", images=["8", 0])
    prompt["4"]["inputs"].update(width=256, height=264)
    prompt["8"] = used("ImageUpscaleWithModel", upscale_model=["9", 0], image=["6", 0])
    prompt["9"] = used("UpscaleModelLoader", model_name="4x.safetensors")
    assert beyond(prompt) == [("8", "height", 1056)]


def test_a_number_behind_a_wire_counts_as_if_it_were_written():
    prompt = changed("5", steps=["8", 0])
    prompt["8"] = used("PrimitiveInt", value=31)
    assert beyond(prompt) == [("5", "steps", 31)]


def test_a_size_that_only_the_execution_knows_is_left_to_it():
    prompt = changed("4", width=["9", 0])
    prompt["8"] = used("LoadImage", image="x.png")
    prompt["9"] = used("Measure", image=["8", 0])
    assert beyond(prompt) == []


def test_steps_that_are_only_written_down_do_not_count():
    prompt = changed("7", images=["8", 0])
    prompt["8"] = used("Meter", images=["6", 0], steps=1000)
    assert beyond(prompt) == []


def test_nodes_that_nothing_needs_do_not_count():
    prompt = comfy()
    prompt["8"] = used("EmptyLatentImage", width=8192, height=8192, batch_size=64)
    assert beyond(prompt) == []


def test_the_refusal_names_every_limit_at_its_node():
    graph = parse({**changed("4", width=2048, batch_size=2), "5": changed("5", steps=99)["5"]})
    refusal = tier_refusal(exceeded(Reach.of(graph, CATALOGUE), FREE))
    assert refusal.status == 403
    assert str(refusal.error["details"]).splitlines() == [
        "width 2048 is beyond the free tier's limit of 1024",
        "batch_size 2 is beyond the free tier's limit of 1",
        "steps 99 is beyond the free tier's limit of 30",
    ]
    assert set(refusal.node_errors) == {"4", "5"}


def test_an_upload_of_unknown_size_may_be_made_larger():
    prompt = {
        "1": used("LoadImage", image="x.png"),
        "2": used("UpscaleModelLoader", model_name="4x.safetensors"),
        "3": used("ImageUpscaleWithModel", upscale_model=["2", 0], image=["1", 0]),
        "4": used("PreviewImage", images=["3", 0]),
    }
    assert beyond(prompt) == []


def test_a_size_that_only_steers_words_does_not_count():
    prompt = changed("5", positive=["8", 0], latent_image=["10", 0])
    prompt["8"] = used("Describe", image=["9", 0], width=4096, height=4096)
    prompt["9"] = used("MakeIMAGE")
    prompt["10"] = used("EmptyLatentImage", width=1024, height=1024)
    assert beyond(prompt) == []


def test_numbers_that_only_feed_each_other_are_not_followed_for_ever():
    prompt = changed("5", steps=["8", 0])
    prompt["8"] = used("PrimitiveInt", value=["9", 0])
    prompt["9"] = used("PrimitiveInt", value=["8", 0])
    assert beyond(prompt) == []


def test_a_chain_of_enlargements_is_beyond_every_tier_and_no_number_too_large():
    graph = {"0": used("EmptyLatentImage", width=64, height=64, batch_size=1)}
    for number in range(1, 450):
        taken = {"samples": [str(number - 1), 0], "scale_by": 8.0}
        graph[str(number)] = used("LatentUpscaleBy", **taken)
    graph["show"] = used("Show", it=["449", 0])
    assert ("3", "width", 64 * 8**3) in beyond(graph, ENTERPRISE)
    assert work(Reach.of(parse(graph), CATALOGUE)).megapixel_steps >= 0


@pytest.mark.parametrize("name", ["scale_by", "megapixels", "width", "resolution", "amount"])
def test_a_number_beyond_all_sizes_is_no_trouble_where_anything_may_be_written(name: str):
    for value in (2**1000, 1e308, -1e308, 5e-324, -1):
        graph = {"1": used("Open", **{name: value}), "2": used("Show", it=["1", 0])}
        beyond(graph)
        assert work(Reach.of(parse(graph), CATALOGUE)).images >= 1
