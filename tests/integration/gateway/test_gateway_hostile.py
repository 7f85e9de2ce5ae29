"""Bodies and requests that are made to hurt are refused like all others."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest
from PIL import Image
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.gateway.house import House, open_house

SHOW = {"class_type": "ImageInvert"}
CIRCLE = {"1": "2", "2": "3", "3": "4", "4": "1"}
NOWHERE: list[dict[str, Any]] = [
    {"1": {**SHOW, "inputs": {"image": ["9", 0]}}},
    {"1": {**SHOW, "inputs": {"image": ["1", 7]}}},
    {"1": {**SHOW, "inputs": {"image": [1, 2, 3]}}},
    {"1": {**SHOW, "inputs": {"image": ["1", 0]}}},
    {n: {**SHOW, "inputs": {"image": [other, 0]}} for n, other in CIRCLE.items()},
]
JSON = {"content-type": "application/json"}


def asset(asset_id: str) -> dict[str, Any]:
    """Return a workflow that refers to an asset."""
    return {"1": {"__type": "core/ASSET", "info": {"id": asset_id}}}


async def test_a_workflow_is_refused_however_deep_it_is(house: House):
    for depth in (100, 480, 900):
        deep = '{"a":' * depth + "1" + "}" * depth
        answer = await house.http.post(
            "/api/v2/jobs", content=f'{{"workflow":{deep}}}', headers=JSON
        )
        assert answer.status_code == 422, answer.text
        assert "nested deeper" in answer.json()["error"]["message"]


async def test_half_a_character_is_the_id_of_no_asset(house: House):
    body = json.dumps({"workflow": asset("\ud800")})
    answer = await house.http.post("/api/v2/jobs", content=body, headers=JSON)
    assert answer.status_code == 422, answer.text
    assert "surrogate" in answer.json()["error"]["message"]


@pytest.mark.covers("P03")
async def test_a_kept_graph_is_opened_though_it_leads_nowhere_unless_it_is_too_large(house: House):
    for graph in NOWHERE:
        answer = await house.http.get(f"/templates/{await kept(house, graph)}.json")
        assert answer.status_code == 200, (graph, answer.text)
        assert len(answer.json()["nodes"]) == len(graph)
    large = {str(number): {**SHOW, "inputs": {}} for number in range(501)}
    answer = await house.http.get(f"/templates/{await kept(house, large)}.json")
    assert answer.status_code == 404
    assert answer.json()["error"]["extra_info"]["limit"] == 500


async def kept(house: House, graph: dict[str, Any]) -> str:
    """Keep a workflow and return its id."""
    answer = await house.http.post("/api/workflows", json={"name": "x", "workflow": graph})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_who_asks_for_the_head_of_a_stream_does_not_wait_for_its_end(house: House):
    house.accept_all()
    prompt_id = await house.post()
    async with asyncio.timeout(5):
        for version in ("", "/v2"):
            answer = await house.http.head(f"/api{version}/jobs/{prompt_id}/events")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")


async def test_more_settings_than_are_kept_are_refused_before_any_is_sealed(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    sealed: list[bytes] = []
    monkeypatch.setattr(house.vault, "seal_bytes", lambda *given: sealed.append(given[-1]))
    answer = await house.http.post("/settings", json={f"s{n}": 1 for n in range(1_001)})
    assert answer.status_code == 413
    assert answer.json()["error"]["extra_info"]["limit"] == 1_000
    assert not sealed


@pytest.mark.covers("R376", "P05")
async def test_a_mask_of_too_many_pixels_is_refused_before_it_is_decoded(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
):
    async with open_house(engine, upload_pixels_max=100) as house:
        small, large = png(10), png(11)
        await house.http.post("/upload/image", files={"image": ("a.png", small)})
        monkeypatch.setattr("services.gateway.routes.files.with_mask", pytest.fail)
        answer = await house.http.post(
            "/upload/mask",
            files={"image": ("m.png", large)},
            data={"original_ref": json.dumps({"filename": "a.png", "type": "input"})},
        )
    assert answer.status_code == 413, answer.text


def png(side: int) -> bytes:
    """Return a picture."""
    out = io.BytesIO()
    Image.new("RGBA", (side, side)).save(out, "PNG")
    return out.getvalue()
