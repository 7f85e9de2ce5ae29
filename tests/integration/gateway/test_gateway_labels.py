"""What bodies must be labelled as, and what commands may say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.gateway.house import House


@pytest.mark.covers("R184")
@pytest.mark.parametrize("path", ["prompt", "interrupt", "queue", "history", "jobs/cancel"])
async def test_every_body_under_api_must_be_labelled_as_json(house: House, path: str):
    for label in ("text/plain", "application/x-www-form-urlencoded", "image/png", "json", ""):
        headers = {"Content-Type": label} if label else {}
        answer = await house.http.post(f"/api/{path}", content=b'{"clear": 0}', headers=headers)
        assert answer.status_code == 415, label
        assert answer.json()["error"]["extra_info"]["received"] == label


async def test_a_command_without_a_body_needs_no_label(house: House):
    assert (await house.http.post("/api/interrupt")).status_code == 200


@pytest.mark.parametrize("body", [{"clear": "yes"}, {"clear": []}, {"delete": [1]}, {"delete": 1}])
async def test_a_command_that_says_something_else_is_refused(house: House, body: Any):
    answer = await house.http.post("/queue", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["extra_info"]["field"] in body
