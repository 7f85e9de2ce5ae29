"""Every plan is a workflow that the validator accepts, and the templates are what they were.

`python -m tests.unit.services.painter.test_painter_workflows` writes the pictures of them anew.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from libs.core.errors import Refused
from libs.core.jsonvalue import JsonObject
from libs.graph.tiers import TIERS
from services.painter.domain.bodies import SEED_MAX, GenerateBody
from services.painter.domain.building import Built, Pictures, build, build_upscale
from services.painter.domain.families import CONTROL_TYPES, FAMILIES
from services.painter.domain.plan import Plan, plan
from services.painter.domain.sheet import TEMPLATES
from services.painter.domain.shelf import Fleet, models_of
from services.painter.domain.styles import styles
from services.validator.domain.verdict import Accepted, verdict
from tests.unit.services.painter.fleets import DEMO, FULL, INPUTS, catalogue, limits

GOLDEN = Path(__file__).with_name("workflows")
REFERENCE, CONTROL, MASK, MADE = INPUTS
CONTROLLED = {"control_image": "x", "control_type": "canny"}
# Kinds of workflows by name: what a body asks for, and which pictures it reads.
KINDS: dict[str, tuple[dict[str, Any], Pictures]] = {
    "plain": ({}, Pictures()),
    "reference": ({"reference_image": "x"}, Pictures(reference=REFERENCE)),
    "control": (CONTROLLED, Pictures(control=CONTROL)),
    "both": (
        {**CONTROLLED, "reference_image": "x"},
        Pictures(reference=REFERENCE, control=CONTROL),
    ),
    "four": ({"num_images": 4, "style": "film-grain"}, Pictures()),
    "vary": ({}, Pictures(source=MADE, denoise="subtle")),
    "inpaint": ({}, Pictures(source=MADE, mask=MASK, denoise="inpaint")),
}
CASES = [
    pytest.param(family.name, kind, id=f"{family.name}-{kind}")
    for family in FAMILIES
    for kind in KINDS
    if not (family.paints and "control_type" in KINDS[kind][0])
]


def made(family: str, kind: str, fleet: Fleet = FULL) -> Built:
    asked, pictures = KINDS[kind]
    body = GenerateBody.model_validate({"prompt": "a fox", "model": family, "seed": 7, **asked})
    return build(plan(body, models_of(fleet), fleet, limits(), 0), fleet, pictures)


def judged(built: Built, fleet: Fleet = FULL, tier: str = "owner") -> Accepted:
    found = verdict(
        dict(built.workflow),
        catalogue(fleet),
        TIERS[tier],
        known_files=frozenset(INPUTS),
        weight_sizes={},
    )
    assert isinstance(found, Accepted), found
    assert found.node_errors == {}
    return found


@pytest.mark.covers("R054", "R055")
@pytest.mark.parametrize(("family", "kind"), CASES)
def test_every_template_in_every_shape_is_accepted_and_is_what_it_was(family: str, kind: str):
    built = made(family, kind)
    told = judged(built)
    assert set(told.outputs) == set(built.savers)
    assert told.work.images == len(built.savers)
    golden = json.loads((GOLDEN / f"{family}.json").read_text(encoding="utf-8"))
    assert built.workflow == golden[kind]


@pytest.mark.covers("R054")
def test_every_template_file_is_a_workflow_by_itself():
    files = sorted(TEMPLATES.glob("*.json"))
    assert {path.stem for path in files} == {family.template for family in FAMILIES} | {"upscale"}
    for path in files:
        nodes = json.loads(path.read_text(encoding="utf-8"))
        assert "SaveImage" in {node["class_type"] for node in nodes.values()}
        for node in nodes.values():
            wires = [value for value in node["inputs"].values() if isinstance(value, list)]
            assert all(wire[0] in nodes for wire in wires)


def test_enlarging_is_accepted_with_a_network_and_without():
    with_network = build_upscale(MADE, "realesr-animevideov3-x4.safetensors", 512, 512)
    for built in (with_network, build_upscale(MADE, None, 512, 512)):
        judged(built, DEMO)
        assert (built.width, built.height) == (512, 512)


@pytest.mark.covers("R244")
def test_each_image_is_sampled_by_itself_so_that_its_seed_makes_it_again():
    four, one = made("sdxl", "four").workflow, made("sdxl", "plain").workflow
    samplers = [node["inputs"] for node in four.values() if node["class_type"] == "KSampler"]
    assert [inputs["seed"] for inputs in samplers] == [7, 8, 9, 10]  # type: ignore[index,call-overload]
    assert len([n for n in four.values() if n["class_type"] == "CheckpointLoaderSimple"]) == 1
    assert one["latent"]["inputs"]["batch_size"] == 1  # type: ignore[index,call-overload]


@pytest.mark.covers("R249")
@pytest.mark.parametrize("family", [family.name for family in FAMILIES])
def test_pictures_that_are_followed_or_painted_on_make_no_picture_dearer(family: str):
    plain = judged(made(family, "plain")).work
    kinds = [kind for name, kind in (case.values for case in CASES) if name == family]
    for kind in set(map(str, kinds)) - {"four"}:
        assert judged(made(family, kind)).work == plain, kind


def test_a_model_in_one_file_needs_no_other_files():
    built = made("flux-dev", "plain")
    types = {node["class_type"] for node in built.workflow.values()}
    assert "CheckpointLoaderSimple" in types
    assert not types & {"UNETLoader", "DualCLIPLoader", "VAELoader"}


def test_an_inpainted_picture_keeps_what_was_not_masked():
    workflow = made("sdxl", "inpaint").workflow
    kept: Any = workflow["kept"]
    assert kept["class_type"] == "ImageCompositeMasked"
    assert kept["inputs"]["mask"] == ["mask", 0]
    assert workflow["save"]["inputs"]["images"] == ["kept", 0]  # type: ignore[index,call-overload]


TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=60)
SIDES = st.integers(4, 130).map(lambda cells: cells * 16)
BODIES = st.fixed_dictionaries(
    {"prompt": TEXT.filter(lambda text: bool(text.strip()))},
    optional={
        "negative_prompt": TEXT,
        "model": st.sampled_from([family.name for family in FAMILIES]),
        "width": SIDES,
        "height": SIDES,
        "steps": st.integers(1, 60),
        "cfg_scale": st.floats(1, 30),
        "seed": st.integers(-1, SEED_MAX),
        "style": st.sampled_from(list(styles())),
        "num_images": st.integers(1, 4),
        "reference_image": st.just("x"),
    },
)


@pytest.mark.covers("R055")
@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    body=BODIES,
    control=st.none() | st.sampled_from(CONTROL_TYPES),
    tier=st.sampled_from(["free", "pro", "enterprise", "owner"]),
    fleet=st.sampled_from([FULL, DEMO]),
    pictures=st.sampled_from([pictures for _, pictures in KINDS.values()]),
)
def test_a_body_is_refused_by_name_or_is_a_workflow_that_the_validator_accepts(
    body: dict[str, Any], control: str | None, tier: str, fleet: Fleet, pictures: Pictures
):
    asked = body if control is None else {**body, "control_image": "x", "control_type": control}
    read = GenerateBody.model_validate(asked)
    found = _planned(read, fleet, tier)
    event(f"accepted: {not isinstance(found, Refused)}")
    if isinstance(found, Refused):
        assert found.facts["field"] in GenerateBody.model_fields
        return
    pictures = replace(
        pictures,
        reference=REFERENCE if read.reference_image else None,
        control=CONTROL if control else None,
    )
    told = judged(build(found, fleet, pictures), fleet, tier)
    assert told.work.images == len(found.seeds)


def _planned(body: GenerateBody, fleet: Fleet, tier: str) -> Plan | Refused:
    try:
        return plan(body, models_of(fleet), fleet, limits(tier), 0)
    except Refused as error:
        return error


def _written() -> dict[str, dict[str, JsonObject]]:
    pages: dict[str, dict[str, JsonObject]] = {}
    for case in CASES:
        family, kind = map(str, case.values)
        pages.setdefault(family, {})[kind] = dict(made(family, kind).workflow)
    return pages


if __name__ == "__main__":
    for name, page in _written().items():
        path = GOLDEN / f"{name}.json"
        path.write_text(json.dumps(page, separators=(",", ":")) + "\n", encoding="utf-8")
