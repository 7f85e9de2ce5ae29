"""A graph of test nodes through a whole house: lazy, expanding, blocked and async, frame by frame."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.e2e.houses import ROOT, House, house, wait_until
from tests.e2e.test_pictures import lifecycle
from tests.e2e.watching import Watcher, submit

PLUGGED = ROOT / "tests/semantics/plugged"
PACKS = ROOT / "tests/data/node_packs"


@pytest.fixture(scope="module")
def plugged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run a house that knows the test nodes, and those of node packs."""
    home = tmp_path_factory.mktemp("semantics") / "home"
    packs = str(PACKS)
    with house(home, PYTHONPATH=f"{PLUGGED}:{ROOT}", STUDIO_WORKER_NODE_PACKS=packs) as running:
        yield running


@pytest.fixture
def api(plugged: House) -> Iterator[httpx.Client]:
    """Talk to that house."""
    with plugged.client() as client:
        yield client


def used(class_type: str, /, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def everything(mark: str) -> dict[str, Any]:
    return {
        "no": used("Word", text="no"),
        "yes": used("Word", text=f"yes{mark}"),
        "choose": used("Choose", switch=True, on_false=["no", 0], on_true=["yes", 0]),
        "twice": used("Twice", text=["choose", 0]),
        "tell": used("Tell", text=["twice", 0]),
        "stop": used("Stop", value="a", when="a", message="too dark"),
        "held": used("Tell", text=["stop", 0]),
        "shout": used("Shout", text=f"loud{mark}"),
        "end": used("Tell", text=["shout", 0]),
    }


def nodes_of(frames: list[dict[str, Any]], kind: str) -> list[Any]:
    return [frame["data"].get("node") for frame in frames if frame["type"] == kind]


@pytest.mark.covers("R065", "R209", "R210", "R211", "R212")
def test_what_a_graph_may_do_is_told_in_the_order_of_comfyui(plugged: House, api: httpx.Client):
    with Watcher(plugged) as watcher:
        prompt_id = submit(api, everything("1"), watcher.client_id)
        frames = watcher.until_end(prompt_id)
    kinds = lifecycle(frames)
    assert kinds[:4] == ["execution_start", "execution_cached", "progress_state", "executing"]
    assert kinds[-3:] == ["execution_complete", "execution_success", "executing"]
    # The word that it puts behind itself was made before, under another id.
    inside = "twice.0.0.add"
    first = ["choose", "yes", "choose", "twice", inside, "tell", "stop", "held", "shout"]
    told = nodes_of(frames, "executing")
    assert told[: len(first)] == first
    assert set(told[len(first) :]) == {"shout.0.0.tell", "end", None}
    shown = {f["data"]["node"]: f["data"] for f in frames if f["type"] == "executed"}
    assert shown["tell"]["output"] == {"text": ["yes1yes1"]}
    assert shown["shout.0.0.tell"]["output"] == {"text": ["loud1"]}
    assert shown["shout.0.0.tell"]["display_node"] == "shout"
    assert "held" not in shown
    state = next(f["data"]["nodes"] for f in frames if inside in f["data"].get("nodes", {}))
    assert state[inside] == {
        "value": 0,
        "max": 1,
        "state": "running",
        "node_id": inside,
        "prompt_id": prompt_id,
        "display_node_id": "twice",
        "parent_node_id": "twice",
        "real_node_id": "twice",
    }
    assert state["tell" if "tell" in state else "twice"]["parent_node_id"] is None
    (error,) = [f["data"] for f in frames if f["type"] == "execution_error"]
    assert (error["node_id"], error["node_type"]) == ("held", "Tell")
    assert error["exception_type"] == "ExecutionBlocked"
    assert error["exception_message"] == "Execution Blocked: too dark"
    entry = api.get(f"/history/{prompt_id}").json()[prompt_id]
    assert entry["status"]["status_str"] == "success"
    assert entry["outputs"]["shout.0.0.tell"] == {"text": ["loud1"]}
    assert entry["meta"]["shout.0.0.tell"] == {
        "node_id": "shout.0.0.tell",
        "display_node": "shout",
        "parent_node": "shout",
        "real_node_id": "shout",
    }
    assert entry["meta"]["tell"]["parent_node"] is None


def test_only_the_targets_that_a_client_names_are_executed(plugged: House, api: httpx.Client):
    with Watcher(plugged) as watcher:
        prompt_id = submit(
            api, everything("2"), watcher.client_id, partial_execution_targets=["end"]
        )
        frames = watcher.until_end(prompt_id)
    assert set(nodes_of(frames, "executing")) == {"shout", "shout.0.0.tell", "end", None}


def test_a_failure_within_an_expansion_ends_the_prompt_at_the_clients_node(
    plugged: House, api: httpx.Client
):
    graph = {
        "many": used("Many", number=2, class_type="Nowhere"),
        "tell": used("Tell", text=["many", 0]),
    }
    with Watcher(plugged) as watcher:
        frames = watcher.until_end(submit(api, graph, watcher.client_id))
    (error,) = [f["data"] for f in frames if f["type"] == "execution_error"]
    assert (error["node_id"], error["node_type"]) == ("many", "Many")
    assert "Node 'Nowhere' not found" in error["exception_message"]


@pytest.mark.covers("R075", "R186")
def test_what_a_type_finds_wrong_itself_is_said_before_anything_is_queued(api: httpx.Client):
    graph = {"1": used("Level", level=7), "2": used("Tell", text=["1", 0])}
    answer = api.post("/prompt", json={"prompt": graph})
    assert answer.status_code == 400
    (error,) = answer.json()["node_errors"]["1"]["errors"]
    assert error == {
        "type": "custom_validation_failed",
        "message": "Custom validation failed for node",
        "details": "level - 7 is too much",
        "extra_info": {"input_name": "level"},
    }


@pytest.mark.covers("R044")
def test_a_node_of_a_pack_is_listed_and_its_picture_kept_like_any_other(
    plugged: House, api: httpx.Client
):
    def listed() -> dict[str, Any]:
        return dict(api.get("/object_info/BrightInvert").json())

    entry = wait_until(listed, 60, "the pack's node type is not listed")["BrightInvert"]
    assert entry["display_name"] == "Bright: Invert"
    graph = {
        "1": used("EmptyImage", width=32, height=16, batch_size=1, color=0xFF0000),
        "2": used("BrightInvert", image=["1", 0], strength=1.0, mode="half", sampler="euler"),
        "3": used("BrightSave", images=["2", 0], prefix="pack/shot"),
        "4": used("WordTwice", text=["5", 0]),
        "5": used("WordGlue", a="o", b="k"),
        "6": used("WordShow", text=["4", 0], more="too"),
    }
    with Watcher(plugged) as watcher:
        prompt_id = submit(api, graph, watcher.client_id)
        watcher.until_end(prompt_id)
    told = api.get(f"/history/{prompt_id}").json()[prompt_id]
    assert told["status"]["status_str"] == "success"
    assert told["outputs"]["6"] == {"text": ["OKok", "more=too"]}
    assert told["outputs"]["3"]["text"] == ["call 1"]
    (image,) = told["outputs"]["3"]["images"]
    assert (image["filename"], image["subfolder"]) == ("shot_00001_.png", "pack")
    picture = Image.open(io.BytesIO(api.get("/view", params=image).content))
    assert (picture.size, picture.getpixel((3, 3))) == ((16, 8), (0, 255, 255))
