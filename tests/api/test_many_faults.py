"""A graph that is wrong in very many places gets its 400, and the house works on."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from libs.bus.limits import PAYLOAD_BYTES_MAX

ANSWER_SECONDS_MAX = 30


def posted(api_url: str, prompt: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{api_url}/prompt", json={"prompt": prompt}, timeout=ANSWER_SECONDS_MAX)


def wrong(nodes: int) -> dict[str, Any]:
    """Return pairs of nodes; the first of each has three faults."""
    inputs = {"width": "x" * 300, "height": "y" * 300, "batch_size": "z" * 300}
    graph: dict[str, Any] = {}
    for number in range(nodes // 2):
        graph[f"a{number}"] = {"class_type": "EmptyImage", "inputs": inputs}
        shows = {"class_type": "PreviewImage", "inputs": {"images": [f"a{number}", 0]}}
        graph[f"b{number}"] = shows
    return graph


@pytest.mark.covers("P10", "R375")
def test_very_many_faults_are_a_clear_400(api_url: str):
    answer = posted(api_url, wrong(500))
    assert answer.status_code == 400
    assert len(answer.content) < PAYLOAD_BYTES_MAX
    told = answer.json()
    extra_info = told["error"]["extra_info"]
    assert extra_info["faults"] > extra_info["faults_shown"] > 0
    assert told["node_errors"]["a0"]["errors"][0]["type"] == "invalid_input_type"
    thousand = posted(api_url, wrong(1_000))
    assert thousand.status_code == 400
    assert thousand.json()["error"]["type"] == "too_many_nodes"
    fine = {"width": 64, "height": 64, "batch_size": 1, "color": 1}
    good = {
        "1": {"class_type": "EmptyImage", "inputs": fine},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    assert posted(api_url, good).status_code == 200
