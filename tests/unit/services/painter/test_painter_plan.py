"""What was asked for becomes the values in effect, or a refusal that names field and limit."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from libs.core.errors import Refused
from services.painter.domain.bodies import SEED_MAX, GenerateBody
from services.painter.domain.families import BY_NAME, CONTROL_TYPES, kind_of
from services.painter.domain.plan import Plan, plan, ratios_of
from services.painter.domain.shelf import Fleet, models_of
from services.painter.domain.styles import negatives, styles
from services.painter.errors import refusal_of
from tests.unit.services.painter.fleets import DEMO, FILES, FULL, NOTHING, limits


def planned(fleet: Fleet = FULL, tier: str = "owner", drawn: int = 5, **body: Any) -> Plan:
    asked = GenerateBody.model_validate({"prompt": "a fox", **body})
    return plan(asked, models_of(fleet), fleet, limits(tier), drawn)


def refused(fleet: Fleet = FULL, tier: str = "owner", **body: Any) -> Refused:
    with pytest.raises(Refused) as raised:
        planned(fleet, tier, **body)
    return raised.value


def unread(**body: Any) -> Refused:
    with pytest.raises(ValidationError) as raised:
        GenerateBody.model_validate({"prompt": "a fox", **body})
    return refusal_of(raised.value)


@pytest.mark.covers("R230", "R231", "R232", "R233", "R234", "R237")
def test_a_prompt_alone_is_enough():
    made = planned()
    assert made.model.name == "flux-schnell"
    assert (made.width, made.height, made.steps, len(made.seeds)) == (1024, 1024, 4, 1)
    assert (made.cfg_scale, made.negative_prompt, made.style.name) == (1.0, "", "none")


@pytest.mark.covers("R230")
def test_where_the_default_model_is_not_the_first_that_may_be_used_is():
    assert planned(DEMO).model.name == "demo"
    assert refused(NOTHING).kind == "not_possible"


@pytest.mark.covers("R230")
def test_an_unknown_model_is_refused_with_the_list():
    error = refused(DEMO, model="dall-e-9")
    assert (error.status, error.kind, error.facts["field"]) == (400, "unknown_model", "model")
    assert error.facts["allowed"] == ["demo"]


def test_a_model_without_its_files_is_refused_with_their_names():
    error = refused(DEMO, model="sdxl")
    assert error.kind == "not_possible"
    assert "checkpoints/sdxl" in error.message


@pytest.mark.covers("R229")
def test_the_quality_negatives_go_without_saying_but_not_for_distilled_models():
    made = planned(model="sdxl")
    assert made.negative_prompt == negatives().text
    assert made.negative == negatives().text
    assert planned(model="sdxl", negative_prompt="rain").negative == "rain"
    assert planned(model="flux-dev", negative_prompt="rain").negative == ""


@pytest.mark.covers("R233")
@pytest.mark.parametrize(
    ("model", "steps"),
    [("flux-schnell", 4), ("flux-dev", 30), ("sdxl", 30), ("sd3.5", 30), ("sd1.5", 30)],
)
def test_steps_are_the_models_own(model: str, steps: int):
    assert planned(model=model).steps == steps
    assert planned(model=model, steps=7).steps == 7


@pytest.mark.covers("R234")
def test_guidance_is_seven_but_for_distilled_models():
    assert planned(model="sdxl").cfg_scale == 7.0
    assert planned(model="sdxl", cfg_scale=3).cfg_scale == 3.0
    assert planned(model="flux-schnell", cfg_scale=9.5).cfg_scale == 1.0


@pytest.mark.covers("R231", "R232")
@pytest.mark.parametrize("field", ["width", "height"])
def test_a_side_is_a_multiple_of_what_the_model_paints(field: str):
    sdxl: dict[str, Any] = {"model": "sdxl", field: 1020}
    error = refused(**sdxl)
    assert (error.status, error.facts["field"], error.facts["limit"]) == (400, field, 8)
    for pixels, limit in ((1032, 16), (2064, 2048)):
        flux: dict[str, Any] = {"model": "flux-dev", field: pixels}
        assert refused(**flux).facts["limit"] == limit


def test_the_demo_model_paints_squares_of_any_size():
    assert (planned(DEMO).width, planned(DEMO, width=512).height) == (256, 512)
    assert refused(DEMO, width=512, height=256).facts["field"] == "height"


@pytest.mark.covers("R235", "R244")
def test_each_image_has_a_seed_of_its_own():
    assert planned(num_images=3, seed=40).seeds == (40, 41, 42)
    assert planned(num_images=2, seed=-1, drawn=9).seeds == (9, 10)
    assert planned(drawn=9).seeds == (9,)
    assert planned(num_images=2, seed=SEED_MAX).seeds == (SEED_MAX, 0)


@pytest.mark.covers("R236")
def test_a_style_puts_its_words_around_the_persons():
    made = planned(model="sdxl", style="cinematic")
    assert made.positive.startswith("film still of a fox, anamorphic lens, ")
    assert made.negative.startswith("flat light, snapshot, timestamp, blurry")
    error = refused(style="baroque")
    assert (error.status, error.kind) == (400, "unknown_style")
    assert error.facts["allowed"] == list(styles())


@pytest.mark.covers("R236")
def test_the_styles_are_seventeen_and_each_has_a_place_for_the_prompt():
    assert list(styles()) == [
        *("none", "photo", "portrait", "product", "cinematic", "film-grain", "pixel-art"),
        *("anime", "illustration", "watercolor", "oil-painting", "line-art", "3d-render"),
        *("isometric", "concept-art", "architecture", "logo"),
    ]
    assert all(style.positive.count("{prompt}") == 1 for style in styles().values())
    assert all(style.title and style.description for style in styles().values())


@pytest.mark.covers("R237")
@pytest.mark.parametrize("count", [0, 5, -1])
def test_one_to_four_images_are_made_at_once(count: int):
    error = unread(num_images=count)
    assert (error.status, error.facts["field"]) == (400, "num_images")
    assert error.facts["limit"] in (1, 4)


@pytest.mark.covers("R228", "R373")
def test_a_prompt_has_words_and_ten_thousand_characters_at_most():
    for text in ("", " \n", "a\0b", "x" * 10_001):
        assert unread(prompt=text).facts["field"] == "prompt"
    with pytest.raises(ValidationError):
        GenerateBody.model_validate({})
    assert planned(prompt="x" * 10_000).positive == "x" * 10_000
    most = 10_000 - styles()["photo"].characters
    assert refused(prompt="x" * 9_999, style="photo").facts["limit"] == most


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", "1024"), ("width", 1024.5), ("steps", 0), ("cfg_scale", 0.5), ("cfg_scale", 31),
        ("seed", -2), ("seed", SEED_MAX + 1), ("control_type", "fog"), ("promt", "a fox"),
        ("width", True), ("style", ""), ("negative_prompt", 7),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_right_is_named(field: str, value: Any):
    error = unread(**{field: value})
    assert error.status == 400
    assert str(error.facts["field"]).startswith(field) or field == "control_type"


@pytest.mark.covers("R240")
def test_a_control_picture_and_its_type_go_together():
    assert "go together" in unread(control_type="canny").message
    assert "go together" in unread(control_image="aGk=").message
    for kind in CONTROL_TYPES:
        assert planned(model="sd1.5", control_image="aGk=", control_type=kind).control_type == kind


def test_a_control_picture_that_the_model_cannot_follow_is_refused_in_words():
    error = refused(model="sd3.5", control_image="aGk=", control_type="pose")
    assert (error.kind, error.facts["allowed"]) == ("not_possible", ["canny"])
    without = Fleet({name: files for name, files in FILES.items() if name != "depth"})
    error = refused(without, model="sd1.5", control_image="aGk=", control_type="depth")
    assert "depth network" in error.message


@pytest.mark.covers("R351", "R352", "R353", "R354")
@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({"width": 1032}, 1024),
        ({"height": 2048}, 1024),
        ({"steps": 31}, 30),
        ({"num_images": 2}, 1),
        ({"model": "sd1.5"}, ["flux-schnell", "sdxl", "demo"]),
    ],
)
def test_what_the_free_tier_does_not_allow_is_refused_with_the_limit(
    body: dict[str, Any], limit: Any
):
    error = refused(tier="free", **{"model": "sdxl", **body})
    assert (error.status, error.kind) == (403, "tier_limit_exceeded")
    field = next(iter(body))
    assert (error.facts["field"], error.facts["limit"]) == (field, limit)
    assert "free" in error.message


@pytest.mark.covers("R351", "R352", "R353", "R354", "R355", "R358")
def test_at_the_limit_of_a_tier_all_is_well():
    assert planned(tier="free", model="sdxl", width=1024, steps=30, num_images=1)
    assert planned(tier="pro", model="sd1.5", width=2048, steps=50, num_images=4)


@pytest.mark.covers("R364")
def test_four_images_are_the_most_in_every_tier():
    assert len(planned(tier="enterprise", num_images=4).seeds) == 4
    assert unread(num_images=8).facts["limit"] == 4


def test_the_shapes_on_offer_fit_into_the_tier():
    for model in models_of(FULL):
        for tier in ("free", "pro"):
            shapes = ratios_of(model, limits(tier))
            side = limits(tier).side_pixels_max
            assert shapes
            assert len({name for name, *_ in shapes}) == len(shapes)
            for _, width, height in shapes:
                assert max(width, height) <= side
                assert width % model.family.multiple == height % model.family.multiple == 0


def test_files_are_told_by_their_names_and_else_by_their_size():
    assert kind_of("flux1-schnell.safetensors") is BY_NAME["flux-schnell"]
    assert kind_of("deep/SDXL_lightning.safetensors") is BY_NAME["sdxl"]
    assert kind_of("flux1-fill-dev.safetensors") is None
    assert kind_of("sd_xl_refiner_1.0.safetensors") is None
    assert kind_of("dreams.safetensors", 2 << 30) is BY_NAME["sd1.5"]
    assert kind_of("dreams.safetensors", 7 << 30) is BY_NAME["sdxl"]
    assert kind_of("dreams.safetensors", 100) is None


def test_a_second_file_of_a_kind_goes_by_its_own_name():
    files = {**FILES, "checkpoints": ("sd_xl_base_1.0.safetensors", "sdxl-dreams.safetensors")}
    names = [model.name for model in models_of(Fleet(files))]
    assert names.index("sdxl") < names.index("sdxl-dreams")
