"""Whatever a client sends: the right status, ComfyUI's error body, nothing lost, never a 5xx."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.houses import House
from tests.e2e.watching import Watcher, submit, tiny_graph


def changed(graph: dict[str, Any], node: str, **inputs: Any) -> dict[str, Any]:
    """Return a copy of `graph` with other inputs at `node`; None takes an input away."""
    copy: dict[str, Any] = json.loads(json.dumps(graph))
    for name, value in inputs.items():
        if value is None:
            copy[node]["inputs"].pop(name)
        else:
            copy[node]["inputs"][name] = value
    return copy


def errors_of(answer: Any, node: str) -> list[dict[str, Any]]:
    return list(answer.json()["node_errors"][node]["errors"])


@pytest.mark.covers("P10")
@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b'"x"', b"{}", b'{"prompt": 7}'])
def test_a_body_that_is_no_prompt_is_refused(api, body):
    answer = api.post("/prompt", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"]
    assert answer.json()["node_errors"] == {}


def test_an_unknown_node_is_named(api, demo_graph):
    demo_graph["sampler"]["class_type"] = "NoSuchNode"
    answer = api.post("/prompt", json={"prompt": demo_graph})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "missing_node_type"
    assert error["extra_info"]["node_id"] == "sampler"


@pytest.mark.covers("R072", "R075", "R077", "R093")
@pytest.mark.parametrize(
    ("node", "inputs", "kind", "field"),
    [
        ("sampler", {"seed": None}, "required_input_missing", "seed"),
        ("sampler", {"steps": 0}, "value_smaller_than_min", "steps"),
        ("sampler", {"steps": 10_001}, "value_bigger_than_max", "steps"),
        ("sampler", {"cfg": "much"}, "invalid_input_type", "cfg"),
        ("sampler", {"sampler_name": "magic"}, "value_not_in_list", "sampler_name"),
        ("sampler", {"model": ["latent", 0]}, "return_type_mismatch", "model"),
        ("sampler", {"model": ["checkpoint"]}, "bad_linked_input", "model"),
        ("checkpoint", {"ckpt_name": "no.safetensors"}, "value_not_in_list", "ckpt_name"),
    ],
)
def test_a_wrong_input_is_named_with_its_limit(api, demo_graph, node, inputs, kind, field):
    answer = api.post("/prompt", json={"prompt": changed(demo_graph, node, **inputs)})
    assert answer.status_code == 400
    error = errors_of(answer, node)[0]
    assert error["type"] == kind
    assert field in error["details"] or field in str(error["extra_info"])


def test_a_cycle_is_found(api):
    graph = {
        "1": {"class_type": "ImageInvert", "inputs": {"image": ["2", 0]}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }
    answer = api.post("/prompt", json={"prompt": graph})
    assert answer.status_code == 400
    assert "dependency_cycle" in answer.text


@pytest.mark.covers("R375")
def test_the_501st_node_is_one_too_many(api):
    chain: dict[str, Any] = {"0": tiny_graph()["1"]}
    for number in range(1, 500):
        link = [str(number - 1), 0]
        chain[str(number)] = {"class_type": "ImageInvert", "inputs": {"image": link}}
    last = {"class_type": "PreviewImage", "inputs": {"images": ["498", 0]}}
    assert api.post("/prompt", json={"prompt": chain | {"499": last}}).status_code == 200
    answer = api.post("/prompt", json={"prompt": chain | {"500": last}})
    assert answer.status_code == 400
    assert "500" in answer.text


@pytest.mark.covers("R373")
def test_a_text_may_have_ten_thousand_characters_and_not_one_more(api, demo_graph):
    demo_graph["sampler"]["inputs"]["steps"] = 1
    good = changed(demo_graph, "positive", text="a" * 10_000)
    assert api.post("/prompt", json={"prompt": good}).status_code == 200
    answer = api.post("/prompt", json={"prompt": changed(good, "positive", text="a" * 10_001)})
    assert answer.status_code == 400
    assert "10000" in answer.text.replace(",", "")


@pytest.mark.covers("R374")
def test_a_workflow_may_have_one_mebibyte_and_not_one_byte_more(api):
    def body(size: int) -> bytes:
        filled = {"prompt": tiny_graph(), "extra_data": {"note": ""}}
        filled["extra_data"]["note"] = "x" * (size - len(json.dumps(filled)))
        return json.dumps(filled).encode()

    assert len(body(1_048_576)) == 1_048_576
    assert api.post("/prompt", content=body(1_048_576)).status_code == 200
    answer = api.post("/prompt", content=body(1_048_577))
    assert answer.status_code == 413
    assert "1048576" in answer.text


@pytest.mark.covers("R378")
@pytest.mark.parametrize(
    ("query", "statuses"),
    [
        ({"filename": "../../etc/passwd"}, {400, 403}),
        ({"filename": "/etc/passwd"}, {400, 403}),
        ({"filename": "x.png", "subfolder": "../.."}, {403}),
        ({"filename": "x.png", "subfolder": "/etc"}, {403}),
        ({"filename": "..%2f..%2fetc%2fpasswd"}, {400, 403, 404}),
        ({"filename": "x.png", "type": "secret"}, {400}),
        ({"filename": "no.png"}, {404}),
        ({}, {400}),
        ({"filename": "a\x00b.png"}, {400, 403, 404}),
    ],
)
def test_view_leaves_its_folder_for_nobody(api, query, statuses):
    answer = api.get("/view", params=query)
    assert answer.status_code in statuses
    assert b"root:" not in answer.content


@pytest.mark.covers("R378")
@pytest.mark.parametrize("prefix", ["../../evil", "/etc/evil", "a/../../evil", "..\\evil"])
def test_a_filename_prefix_cannot_climb_out(shared_house: House, api, prefix):
    with Watcher(shared_house) as watcher:
        answer = api.post(
            "/prompt",
            json={
                "prompt": tiny_graph(prefix=prefix, preview=False),
                "client_id": watcher.client_id,
            },
        )
        if answer.status_code == 400:
            return
        assert answer.status_code == 200
        prompt_id = answer.json()["prompt_id"]
        frames = watcher.until_end(prompt_id)
    assert any(f["type"] == "execution_error" for f in frames)
    assert not list(shared_house.home.parent.rglob("*evil*"))


@pytest.mark.covers("R344")
def test_words_on_the_blocklist_are_refused_and_cost_nothing(shared_house, api, demo_graph):
    graph = changed(demo_graph, "positive", text="a swastika on a wall")
    answer = api.post("/prompt", json={"prompt": graph})
    assert answer.status_code == 403
    assert "swastika" not in answer.text


@pytest.mark.covers("P09")
def test_the_same_id_with_the_same_body_is_one_prompt_and_with_another_is_refused(api):
    chosen = "0199c6a0-1234-7000-8000-00000000abcd"
    body = {"prompt": tiny_graph(1), "prompt_id": chosen}
    assert api.post("/prompt", json=body).json()["prompt_id"] == chosen
    assert api.post("/prompt", json=body).json()["prompt_id"] == chosen
    other = api.post("/prompt", json=body | {"prompt": tiny_graph(2)})
    assert other.status_code == 422
    bad = api.post("/prompt", json=body | {"prompt_id": "NOT-A-UUID"})
    assert bad.status_code == 400
    assert bad.json()["error"]["type"] == "invalid_prompt_id"


def test_the_house_still_works_after_all_that(shared_house: House, api):
    with Watcher(shared_house) as watcher:
        watcher.until_end(submit(api, tiny_graph(), watcher.client_id))
