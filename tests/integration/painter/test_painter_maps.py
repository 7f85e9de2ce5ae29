"""What of a picture is followed, seen before it is followed: one prompt of 8188 for each map."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from libs.events.prompt import PromptSubmitted
from services.painter.answers import ControlMap, ErrorBody
from tests.integration.gateway.house import eventually
from tests.integration.painter.studio import Studio, picture

ASYNC = {"Prefer": "respond-async"}
MAPS = "/api/control-maps"


def body(kind: str = "canny", colour: str = "red") -> dict[str, str]:
    image = base64.b64encode(picture(colour=colour)).decode()
    return {"control_image": image, "control_type": kind}


async def shown(
    studio: Studio, status: int = 200, kind: str = "canny", colour: str = "red"
) -> dict[str, Any]:
    answer = await studio.http.post(MAPS, json=body(kind, colour))
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    (ControlMap if status == 200 else ErrorBody).model_validate(found)
    return found


@pytest.mark.covers("R239", "R240")
async def test_a_map_is_made_once_for_each_picture_and_type(studio: Studio):
    studio.paint_all()
    first = await shown(studio)
    assert (first["status"], first["control_type"]) == ("succeeded", "canny")
    answer = await studio.http.get(first["image"])
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (64, 64)
    nodes = (await studio.workflow_of(first["map_id"]))["prompt"]
    assert nodes["control_map"]["class_type"] == "CannyEdgePreprocessor"
    assert (await shown(studio))["map_id"] == first["map_id"]
    others = [await shown(studio, kind="pose"), await shown(studio, colour="blue")]
    assert len({first["map_id"], *(one["map_id"] for one in others)}) == 3
    history = (await studio.house.http.get("/api/history")).json()
    assert len(history) == 3
    assert (await studio.http.get("/api/generations")).json()["generations"] == []
    for path in (f"/api/generations/{first['map_id']}", f"{MAPS}/{'0' * 8}", f"{MAPS}/x/image"):
        assert (await studio.http.get(path)).status_code == 404
    found = await studio.http.get(f"{MAPS}/{first['map_id']}")
    assert found.json() == first


async def test_a_map_that_is_gone_or_failed_is_made_anew(studio: Studio):
    studio.paint_all()
    first = await shown(studio)
    await studio.house.http.post("/api/history", json={"delete": [first["map_id"]]})
    second = await shown(studio)
    assert second["map_id"] != first["map_id"]
    assert second["image"]


async def test_who_does_not_wait_looks_again_and_a_failure_is_told(studio: Studio):
    studio.house.accept_all()
    answer = await studio.http.post(MAPS, json=body(), headers=ASYNC)
    assert answer.status_code == 202, answer.text
    map_id = answer.json()["map_id"]
    assert answer.json()["status"] == "queued"
    assert answer.headers["location"].endswith(f"{MAPS}/{map_id}")
    assert (await studio.http.get(f"{MAPS}/{map_id}/image")).status_code == 404
    await studio.house.lease(map_id)
    await studio.house.start(map_id)
    await studio.house.end(map_id, "failed")

    async def told() -> bool:
        found = (await studio.http.get(answer.headers["location"])).json()
        return (found["error"] or {}).get("type") == "map_failed"

    await eventually(told)
    again = await studio.http.post(MAPS, json=body(), headers=ASYNC)
    assert again.json()["map_id"] != map_id


async def test_a_missing_depth_network_is_said_before_anything_is_paid(studio: Studio):
    net = "control_v11f1p_sd15_depth.safetensors"
    await studio.fleet(controlnet=(net,), checkpoints=("sd15.safetensors",))
    refused = await shown(studio, 400, kind="depth")
    assert "dpt-hybrid-midas.safetensors" in refused["error"]["message"]
    assert refused["error"]["extra_info"]["field"] == "control_type"
    models = (await studio.http.get("/api/models")).json()["models"]
    (note,) = next(m for m in models if m["name"] == "sd1.5")["control_notes"].items()
    assert note == ("depth", refused["error"]["message"])


async def test_what_studio_refuses_is_said_in_plain_words(studio: Studio):
    refusals = iter([(402, "insufficient_credits"), (429, "daily_limit"), (403, "content_policy")])

    async def refuse(recorded: Any) -> None:
        await studio.house.refuse(recorded.event.prompt_id, *next(refusals), retry_after_seconds=60)

    studio.house.react(PromptSubmitted, refuse)
    for colour, status, words in (
        ("red", 402, "credits"),
        ("blue", 429, "all pictures of today"),
        ("green", 403, "policy"),
    ):
        refused = await shown(studio, status, colour=colour)
        assert words in refused["error"]["message"]
