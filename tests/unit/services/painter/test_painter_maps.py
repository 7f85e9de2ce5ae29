"""A control map is the very map that a picture is led by, and costs what billing asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from libs.core.errors import Refused
from libs.core.jsonvalue import JsonObject
from libs.core.money import credits_of
from libs.events.verdict import WorkEstimate
from libs.graph.tiers import TIERS
from libs.nodes.preprocessing import MIDAS_FILE, MIDAS_SOURCE
from services.billing.domain.pricing import price
from services.painter.domain.bodies import GenerateBody
from services.painter.domain.building import Pictures, build
from services.painter.domain.families import CONTROL_TYPES
from services.painter.domain.maps import (
    COST_CREDITS,
    COST_IMAGES,
    DEPTH_FILE,
    DEPTH_SOURCE,
    build_map,
    extra_data_of,
    lacking,
    seen_map,
    told_map,
)
from services.painter.domain.plan import plan
from services.painter.domain.record import record_in
from services.painter.domain.shelf import Fleet, models_of
from services.validator.domain.verdict import Accepted, verdict
from tests.unit.services.painter.fleets import DEMO, FULL, INPUTS, catalogue, limits

CONTROL = INPUTS[1]


def judged(workflow: dict[str, Any], fleet: Fleet) -> Accepted:
    found = verdict(
        workflow,
        catalogue(fleet),
        TIERS["free"],
        known_files=frozenset(INPUTS),
        weight_sizes={},
    )
    assert isinstance(found, Accepted), found
    assert found.node_errors == {}
    return found


@pytest.mark.covers("R240")
@pytest.mark.parametrize("kind", CONTROL_TYPES)
def test_every_map_is_accepted_and_costs_what_is_said(kind: str):
    told = judged(dict(build_map(CONTROL, kind, FULL)), FULL)
    assert told.outputs == ("preview",)
    work = WorkEstimate(
        megapixel_steps=told.work.megapixel_steps,
        images=told.work.images,
        steps=told.work.steps,
    )
    assert credits_of(price(work)) == COST_CREDITS
    assert work.images == COST_IMAGES


@pytest.mark.parametrize("kind", CONTROL_TYPES)
def test_a_map_is_the_one_that_the_picture_will_be_led_by(kind: str):
    asked = {"prompt": "a fox", "model": "sd1.5", "control_image": "x", "control_type": kind}
    body = GenerateBody.model_validate(asked)
    made = plan(body, models_of(FULL), FULL, limits(), 0)
    workflow = build(made, FULL, Pictures(control=CONTROL)).workflow
    shown = build_map(CONTROL, kind, FULL)
    for node in ("control_picture", "control_map"):
        assert shown[node] == workflow[node]


def test_edges_poses_and_strokes_need_no_files():
    for kind in CONTROL_TYPES:
        if kind != "depth":
            judged(dict(build_map(CONTROL, kind, DEMO)), DEMO)


def test_a_missing_depth_network_is_named_with_where_to_get_it():
    assert (MIDAS_FILE, MIDAS_SOURCE.partition(" or ")[0]) == (DEPTH_FILE, DEPTH_SOURCE)
    with pytest.raises(Refused) as refused:
        build_map(CONTROL, "depth", DEMO)
    assert refused.value.message == lacking("depth", DEMO)
    assert f"models/depth under the name {MIDAS_FILE}" in refused.value.message
    assert lacking("depth", FULL) == ""


def job(status: str) -> dict[str, Any]:
    return {"status": status, "workflow": {"extra_data": extra_data_of("canny")}}


def test_a_map_is_told_open_ended_and_failed():
    waiting = seen_map("m", job("pending"), None)
    assert waiting is not None
    assert (waiting.status, waiting.is_open) == ("queued", True)
    file = {"filename": "a.png", "subfolder": "", "type": "temp"}
    entry: dict[str, Any] = {
        "outcome": "succeeded",
        "outputs": {"preview": {"images": [file]}},
        "usage": {"compute_ms": 3, "cost_credits": 0.02},
    }
    done = seen_map("m", job("completed"), entry)
    assert done is not None
    assert done.file == file
    told = told_map(done, "http://here")
    assert told["image"] == "http://here/api/control-maps/m/image"
    assert (told["compute_ms"], told["cost_credits"], told["error"]) == (3, 0.02, None)
    words = "execution_error: there is no models/depth/x.safetensors"
    failed = seen_map(
        "m", job("failed"), {"outcome": "failed", "status": {"messages": [["error", words]]}}
    )
    assert failed is not None
    assert "models/depth/x" in str(told_map(failed, "")["error"])


def test_a_map_is_no_generation_and_a_generation_is_no_map():
    assert record_in(extra_data_of("pose")) is None
    extra: JsonObject = {"extra_pnginfo": {}}
    strange: JsonObject = {"status": "completed", "workflow": {"extra_data": extra}}
    assert seen_map("m", strange, None) is None
