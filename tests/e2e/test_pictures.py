"""From a graph to a picture, over HTTP and a plain WebSocket."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from tests.e2e.houses import ROOT, House, wait_until
from tests.e2e.watching import Watcher, submit, tiny_graph

DEMO = "hanzo-demo-64.safetensors"


def picture_of(api, entry) -> PngImageFile:
    image = next(i for o in entry["outputs"].values() for i in o["images"])
    answer = api.get("/view", params=image)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    return PngImageFile(io.BytesIO(answer.content))


def used(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def lifecycle(frames) -> list[str]:
    """Return the kinds of frames in order, repeats of progress folded."""
    kinds: list[str] = []
    for frame in frames:
        kind = frame["type"]
        if kind in {"progress", "progress_state"} and kinds and kinds[-1] == kind:
            continue
        kinds.append(kind)
    return kinds


@pytest.mark.covers("R001", "R066", "R107", "R108", "R182", "R186", "R188", "R190")
def test_the_hip_35_example_makes_a_picture(shared_house: House, api):
    graph = json.loads((ROOT / "tests/data/hip35_example.json").read_text())
    graph["nodes"]["1"]["inputs"]["ckpt_name"] = DEMO
    graph["nodes"]["4"]["inputs"] |= {"width": 64, "height": 64}
    with Watcher(shared_house) as watcher:
        answer = api.post(
            "/api/prompt", json={"prompt": graph, "client_id": watcher.client_id}
        ).json()
        assert answer["node_errors"] == {}
        frames = watcher.until_end(answer["prompt_id"])
    entry = api.get("/api/history", params={"prompt_id": answer["prompt_id"]}).json()
    entry = entry[answer["prompt_id"]]
    assert entry["status"]["status_str"] == "success"
    assert entry["prompt"] == graph
    picture = picture_of(api, entry)
    assert picture.size == (64, 64)
    assert "hanzo_gen" in next(iter(entry["outputs"].values()))["images"][0]["filename"]
    steps = [f["data"]["value"] for f in frames if f["type"] == "progress"]
    assert steps == sorted(steps)
    assert steps[-1] == 30
    assert json.loads(picture.text["prompt"])["5"]["class_type"] == "KSampler"


@pytest.mark.covers("R209", "R210", "R211", "R212", "R187", "R215")
def test_a_comfyui_graph_makes_a_picture_and_its_frames_come_in_order(
    shared_house: House, api, demo_graph
):
    demo_graph["sampler"]["inputs"] |= {"seed": random.randrange(2**40), "steps": 6}
    workflow = {"nodes": [], "links": [], "version": 0.4}
    with Watcher(shared_house) as watcher:
        first = watcher.read()
        assert first["type"] == "status"
        assert first["data"]["sid"] == watcher.client_id
        prompt_id = submit(
            api,
            demo_graph,
            watcher.client_id,
            extra_data={"extra_pnginfo": {"workflow": workflow}},
        )
        frames = watcher.until_end(prompt_id)
        everything = [f["type"] for f in watcher.frames]
    assert everything[:3] == ["status", "status", "status"]
    kinds = lifecycle(frames)
    assert kinds[:3] == ["execution_start", "execution_cached", "progress_state"]
    assert kinds[-3:] == ["execution_complete", "execution_success", "executing"]
    assert everything[-2:] == ["status", "executing"]
    started = [f["data"]["node"] for f in frames if f["type"] == "executing"]
    assert started.index("sampler") < started.index("decoded") < started.index("picture")
    executed = next(f for f in frames if f["type"] == "executed")
    assert executed["data"]["node"] == "picture"
    assert executed["data"]["output"]["images"][0]["type"] == "output"
    sampled = [f["data"] for f in frames if f["type"] == "progress"]
    assert [s["value"] for s in sampled if s["node"] == "sampler"] == [1, 2, 3, 4, 5, 6]
    entry = api.get(f"/history/{prompt_id}").json()[prompt_id]
    picture = picture_of(api, entry)
    assert picture.size == (256, 256)
    assert json.loads(picture.text["prompt"]) == demo_graph
    assert json.loads(picture.text["workflow"]) == workflow


@pytest.mark.covers("R038")
def test_an_unchanged_prefix_is_not_executed_again(shared_house: House, api, demo_graph):
    demo_graph["sampler"]["inputs"] |= {"seed": random.randrange(2**40), "steps": 2}
    with Watcher(shared_house) as watcher:
        watcher.until_end(submit(api, demo_graph, watcher.client_id))
        demo_graph["picture"]["inputs"]["filename_prefix"] = "again"
        prompt_id = submit(api, demo_graph, watcher.client_id)
        frames = watcher.until_end(prompt_id)
    cached = next(f for f in frames if f["type"] == "execution_cached")["data"]["nodes"]
    assert "sampler" in cached
    assert [f["data"]["node"] for f in frames if f["type"] == "executing"] == ["picture", None]


@pytest.mark.covers("R014", "R015")
def test_the_same_seed_makes_the_same_picture(shared_house: House, api, demo_graph):
    demo_graph["sampler"]["inputs"] |= {"seed": 11, "steps": 3}
    pixels = []
    for prefix in ("one", "two"):
        demo_graph["picture"]["inputs"]["filename_prefix"] = prefix
        with Watcher(shared_house) as watcher:
            prompt_id = submit(api, demo_graph, watcher.client_id)
            watcher.until_end(prompt_id)
        pixels.append(picture_of(api, api.get(f"/history/{prompt_id}").json()[prompt_id]))
    assert pixels[0].tobytes() == pixels[1].tobytes()


def test_files_of_one_prefix_are_numbered_without_a_gap_or_a_double(shared_house: House, api):
    with Watcher(shared_house) as watcher:
        ids = [
            submit(api, tiny_graph(n, "row/count", preview=False), watcher.client_id)
            for n in range(8)
        ]
        for prompt_id in ids:
            if not any(
                f["type"] == "executing" and f["data"]["node"] is None
                for f in watcher.about(prompt_id)
            ):
                watcher.until_end(prompt_id)
    names = []
    for prompt_id in ids:
        image = api.get(f"/history/{prompt_id}").json()[prompt_id]["outputs"]["2"]["images"][0]
        assert image["subfolder"] == "row"
        names.append(image["filename"])
    assert sorted(names) == [f"count_{n:05}_.png" for n in range(1, 9)]


@pytest.mark.covers("P05", "P12")
def test_an_uploaded_picture_goes_through_all_nodes_that_work_on_pictures(shared_house: House, api):
    out = io.BytesIO()
    Image.new("RGBA", (64, 64), (0, random.randrange(256), 0, 100)).save(out, "PNG")
    form = {"image": ("meadow.png", out.getvalue(), "image/png")}
    name = api.post("/upload/image", files=form).json()["name"]
    graph = {
        "checkpoint": used("CheckpointLoaderSimple", ckpt_name=DEMO),
        "picture": used("LoadImage", image=name),
        "coded": used("VAEEncode", pixels=["picture", 0], vae=["checkpoint", 2]),
        "seen": used("VAEDecode", samples=["coded", 0], vae=["checkpoint", 2]),
        "upscaler": used("UpscaleModelLoader", model_name="realesr-animevideov3-x4.safetensors"),
        "larger": used("ImageUpscaleWithModel", upscale_model=["upscaler", 0], image=["seen", 0]),
        "shown": used("PreviewImage", images=["larger", 0]),
        "holed": used(
            "VAEEncodeForInpaint",
            pixels=["picture", 0],
            vae=["checkpoint", 2],
            mask=["picture", 1],
            grow_mask_by=6,
        ),
        "around": used("VAEDecode", samples=["holed", 0], vae=["checkpoint", 2]),
        "film": used("CreateVideo", images=["around", 0], fps=8.0),
        "saved": used(
            "SaveVideo", video=["film", 0], filename_prefix="film", format="auto", codec="auto"
        ),
    }
    with Watcher(shared_house) as watcher:
        prompt_id = submit(api, graph, watcher.client_id)
        watcher.until_end(prompt_id)
    entry = api.get(f"/history/{prompt_id}").json()[prompt_id]
    assert entry["status"]["status_str"] == "success"
    (shown,), (film,) = (entry["outputs"][node]["images"] for node in ("shown", "saved"))
    seen = api.get("/view", params=shown)
    assert (shown["type"], Image.open(io.BytesIO(seen.content)).size) == ("temp", (256, 256))
    assert api.get("/view", params=film).headers["content-type"] == "video/mp4"


@pytest.mark.covers("R213", "R199", "R200")
def test_a_node_that_fails_says_so_and_costs_nothing(shared_house: House, api, demo_graph):
    broken = shared_house.home / "models" / "checkpoints" / "broken.safetensors"
    broken.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00not json")

    def listed() -> bool:
        info = api.get("/object_info/CheckpointLoaderSimple").json()
        names = info["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0]
        return broken.name in names

    wait_until(listed, 60, "a new file appears in the lists by itself")
    demo_graph["checkpoint"]["inputs"]["ckpt_name"] = broken.name
    with Watcher(shared_house) as watcher:
        prompt_id = submit(api, demo_graph, watcher.client_id)
        frames = watcher.until_end(prompt_id)
    error = next(f["data"] for f in frames if f["type"] == "execution_error")
    assert error["node_id"] == "checkpoint"
    assert error["node_type"] == "CheckpointLoaderSimple"
    assert error["exception_message"]
    entry = api.get(f"/history/{prompt_id}").json()[prompt_id]
    assert entry["status"]["status_str"] == "error"
    assert entry["status"]["completed"] is False
    story = shared_house.studio("story", prompt_id, "--json")
    types = [event["type"].rpartition(".")[2] for event in json.loads(story.stdout)]
    assert "CreditsReleased" in types
    assert "CreditsCaptured" not in types
    broken.unlink()
