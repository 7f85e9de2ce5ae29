"""Answers on ComfyUI's routes, to their last field: queue, history, jobs, and what is small."""

from __future__ import annotations

import re
from typing import Any

from libs.events.base import SYSTEM_TENANT
from libs.events.worker import WeightsFile, WeightsListed
from services.gateway.editor import DISTRIBUTION, installed
from tests.integration.gateway.house import GRAPH, House, eventually
from tests.integration.gateway.test_gateway_files import made, picture, upload

DOCUMENT = "6f1f0b3c-7a55-4a7e-9c1e-2b9b0d0f2a11"
PNGINFO = {"workflow": {"id": DOCUMENT, "nodes": [], "links": []}}
EDITOR = {"Comfy-User": ""}
FAILURE: dict[str, Any] = {
    "node_id": "2",
    "node_type": "EmptyImage",
    "executed": ["1"],
    "exception_type": "PaintError",
    "exception_message": "out of paint",
    "traceback": ["line 1\n"],
    "current_inputs": {"width": ["64"]},
    "current_outputs": [],
}

SMALL: dict[str, Any] = {
    "/features": {
        "supports_preview_metadata": True,
        "supports_model_type_tags": True,
        "max_upload_size": 20 * 1024 * 1024,
        "extension": {"manager": {"supports_v4": False}},
        "node_replacements": False,
        "assets": False,
    },
    "/users": {"storage": "server", "migrated": True},
    "/extensions": [],
    "/embeddings": ["easy negative"],
    "/models": ["checkpoints", "embeddings"],
    "/models/checkpoints": ["demo.safetensors", "sub/b.safetensors"],
    "/experiment/models/checkpoints": [
        {"name": name, "pathIndex": 0, "size": 1, "modified": 0.001, "created": 0.001}
        for name in ("demo.safetensors", "sub/b.safetensors")
    ],
}


def without_times(value: Any) -> Any:
    """Return an answer with `T` for every moment in it: milliseconds since 1970."""
    if isinstance(value, dict):
        return {name: without_times(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_times(item) for item in value]
    return "T" if isinstance(value, int) and value > 1_700_000_000_000 else value


async def asked(house: House, path: str, **headers: str) -> Any:
    answer = await house.http.get(path, headers=headers)
    assert answer.status_code == 200, (path, answer.text)
    return without_times(answer.json())


async def several_ends(house: House) -> list[str]:
    """Let one prompt succeed, one fail and one be cancelled while it ran."""
    house.accept_all()
    done = await house.post("me", extra_data={"extra_pnginfo": PNGINFO})
    await house.run(done)
    ids = [done]
    for outcome in ("failed", "cancelled"):
        prompt_id = await house.post("me")
        ids.append(prompt_id)
        await house.lease(prompt_id)
        await house.start(prompt_id, cached=("1",))
        await (house.failed if outcome == "failed" else house.interrupted)(prompt_id)
        await house.end(prompt_id, "failed" if outcome == "failed" else "cancelled")
    assert await house.gateway.live.gone([("local", one) for one in ids], 30)
    return ids


def error_of(prompt_id: str) -> dict[str, Any]:
    return {**FAILURE, "prompt_id": prompt_id, "timestamp": "T"}


def jobs_of(
    done: str, failed: str, stopped: str, running: str, waiting: str
) -> list[dict[str, Any]]:
    """Return how these five are listed, the newest first."""
    none = {"create_time": "T", "outputs_count": 0, "previewable_outputs_count": 0}
    over = {**none, "execution_start_time": "T", "execution_end_time": "T"}
    cover = {
        "filename": "x_3_00000_.png",
        "subfolder": "",
        "type": "output",
        "nodeId": "3",
        "mediaType": "images",
    }
    return [
        {"id": waiting, "status": "pending", "priority": -5, **none},
        {
            "id": running,
            "status": "in_progress",
            "priority": 4,
            **none,
            "execution_start_time": "T",
            "workflow_id": DOCUMENT,
        },
        {"id": stopped, "status": "cancelled", "priority": 3, **over},
        {
            "id": failed,
            "status": "failed",
            "priority": 2,
            **over,
            "execution_error": error_of(failed),
        },
        {
            "id": done,
            "status": "completed",
            "priority": 1,
            **over,
            "outputs_count": 1,
            "previewable_outputs_count": 1,
            "preview_output": cover,
            "workflow_id": DOCUMENT,
        },
    ]


async def test_the_queue_is_told_to_the_last_field(house: House):
    house.accept_all()
    one, two = [await house.post("me") for _ in range(2)]
    first = await house.post("me", extra_data={"extra_pnginfo": PNGINFO}, front=True)
    early = await house.post(number=-2.5)
    for prompt_id in (one, two):
        await house.lease(prompt_id)

    async def both_run() -> bool:
        return len((await asked(house, "/queue"))["queue_running"]) == 2

    await eventually(both_run)
    sent: dict[str, Any] = {"create_time": "T", "client_id": "me"}
    drawn = {"extra_pnginfo": PNGINFO, **sent}
    expected = {
        "queue_running": [[1, one, GRAPH, sent, ["3"]], [2, two, GRAPH, sent, ["3"]]],
        "queue_pending": [
            [-3, first, GRAPH, drawn, ["3"]],
            [-2.5, early, GRAPH, {"create_time": "T"}, ["3"]],
        ],
    }
    assert await asked(house, "/queue") == expected
    assert await asked(house, "/api/queue", **EDITOR) == expected
    assert await asked(house, "/prompt") == {"exec_info": {"queue_remaining": 4}}


async def test_finished_prompts_are_told_to_the_last_field(house: House):
    done, failed, stopped = ids = await several_ends(house)
    named: dict[str, Any] = {"create_time": "T", "client_id": "me"}

    def messages(prompt_id: str, cached: list[str], end: str, **facts: Any) -> list[Any]:
        common = {"prompt_id": prompt_id, "timestamp": "T"}
        return [
            ["execution_start", common],
            ["execution_cached", {**common, "nodes": cached}],
            [end, {**common, **facts}],
        ]

    said = {
        done: messages(done, [], "execution_success"),
        failed: messages(failed, ["1"], "execution_error", **FAILURE),
        stopped: messages(
            stopped,
            ["1"],
            "execution_interrupted",
            node_id="2",
            node_type="EmptyImage",
            executed=["1"],
        ),
    }
    place = {"node_id": "3", "display_node": "3", "parent_node": None, "real_node_id": "3"}
    image = {"filename": "x_3_00000_.png", "subfolder": "", "type": "output"}
    expected = {
        prompt_id: {
            "prompt": [number, prompt_id, GRAPH, named, ["3"]],
            "outputs": {},
            "status": {"status_str": "error", "completed": False, "messages": said[prompt_id]},
            "meta": {},
        }
        for number, prompt_id in enumerate(ids, 1)
    }
    expected[done] |= {
        "prompt": [1, done, GRAPH, {"extra_pnginfo": PNGINFO, **named}, ["3"]],
        "outputs": {"3": {"images": [image]}},
        "status": {"status_str": "success", "completed": True, "messages": said[done]},
        "meta": {"3": place},
    }
    history = await asked(house, "/history")
    assert history == expected
    assert list(history) == ids
    assert await asked(house, "/api/history?max_items=64", **EDITOR) == expected
    assert await asked(house, f"/history/{failed}") == {failed: expected[failed]}
    for query, found in {
        "max_items=2": ids[1:],
        "max_items=0": [],
        "max_items=-1": ids,
        "offset=0": ids,
        "offset=1": ids[1:],
        "offset=0&max_items=1": [stopped],
        "offset=1&max_items=1": [failed],
        "offset=3": [],
    }.items():
        assert list(await asked(house, f"/history?{query}")) == found, query
    waiting = await house.post("me")
    assert await asked(house, f"/history/{waiting}") == {}


async def test_jobs_are_told_to_the_last_field(house: House):
    done, failed, stopped = await several_ends(house)
    running = await house.post("me", extra_data={"extra_pnginfo": PNGINFO})
    waiting = await house.post("me", front=True)
    await house.lease(running)

    async def runs() -> bool:
        return bool((await asked(house, "/api/jobs?status=in_progress"))["jobs"])

    await eventually(runs)
    error = error_of(failed)
    jobs = jobs_of(done, failed, stopped, running, waiting)
    pagination = {"offset": 0, "limit": None, "total": 5, "has_more": False}
    assert await asked(house, "/api/jobs") == {"jobs": jobs, "pagination": pagination}
    page = await asked(house, "/api/jobs?sort_order=asc&limit=2&offset=1")
    assert page["jobs"] == jobs[::-1][1:3]
    assert page["pagination"] == {"offset": 1, "limit": 2, "total": 5, "has_more": True}
    of_document = await asked(house, f"/api/jobs?workflow_id={DOCUMENT}")
    assert of_document["jobs"] == [jobs[1], jobs[4]]
    assert of_document["pagination"]["total"] == 2
    entry = (await asked(house, f"/history/{done}"))[done]
    workflow = {"prompt": GRAPH, "extra_data": entry["prompt"][3]}
    assert await asked(house, f"/api/jobs/{done}") == {
        **jobs[4],
        "outputs": entry["outputs"],
        "execution_status": entry["status"],
        "workflow": workflow,
    }
    assert await asked(house, f"/api/jobs/{running}") == {**jobs[1], "workflow": workflow}
    assert (await asked(house, f"/api/jobs/{failed}"))["execution_error"] == error
    for query in ("status=lost", "limit=0", "sort_by=luck", "sort_order=up", "workflow_id=x"):
        bad = await house.http.get(f"/api/jobs?{query}")
        assert (bad.status_code, list(bad.json())) == (400, ["error"])
        assert isinstance(bad.json()["error"], str)
    assert (await house.http.get(f"/api/jobs/{done}/assets")).status_code == 404


async def test_a_saved_picture_stands_for_its_prompt_and_a_latent_is_none(house: House):
    house.accept_all()
    prompt_id = await house.post()
    await house.lease(prompt_id)
    await house.start(prompt_id)
    files = [
        await house.output(prompt_id, "3", 0, folder="temp"),
        await house.output(prompt_id, "3", 1, kind="latents", mime="application/octet-stream"),
        await house.output(prompt_id, "3", 2, kind="3d", mime="model/gltf-binary"),
    ]
    await house.node_done(prompt_id, *files)
    for file in files:
        await house.release(prompt_id, file)
    await house.finished(prompt_id)
    await house.end(prompt_id)
    assert await house.gateway.live.gone([("local", prompt_id)], 30)
    job = await asked(house, f"/api/jobs/{prompt_id}")
    assert (job["outputs_count"], job["previewable_outputs_count"]) == (3, 2)
    cover = job["preview_output"]
    assert (cover["filename"], cover["mediaType"]) == ("x_3_00002_.png", "3d")
    assert set(job["outputs"]["3"]) == {"images", "latents", "3d"}


async def test_small_answers_are_told_to_the_last_field(house: House):
    await house.register_worker()
    files = {
        folder: tuple(WeightsFile(name=name, size_bytes=1, modified_ms=1) for name in names)
        for folder, names in {
            "checkpoints": ("demo.safetensors", "sub/b.safetensors"),
            "embeddings": ("easy negative.pt",),
        }.items()
    }
    listing = WeightsListed(worker_id="ada", slot="a", weights=files)
    await house.append(listing, SYSTEM_TENANT)

    async def listed() -> bool:
        return bool(await asked(house, "/embeddings"))

    await eventually(listed)
    stats = await asked(house, "/system_stats")
    system = stats["system"]
    assert set(system) >= {
        "os", "ram_total", "ram_free", "comfyui_version", "python_version", "pytorch_version",
        "embedded_python", "deploy_environment", "comfy_package_versions", "argv",
    }  # fmt: skip
    assert not {"installed_templates_version", "required_templates_version"} & set(system)
    assert re.fullmatch(r"\d+\.\d+\.\d+", system["comfyui_version"])
    editor = installed()
    packages = [
        (p["name"], p["installed"], p["required"]) for p in system["comfy_package_versions"]
    ]
    version = editor.version if editor else ""
    assert packages == ([(DISTRIBUTION, version, version)] if editor else [])
    assert system.get("required_frontend_version", "") == version
    (device,) = stats["devices"]
    assert set(device) == {
        "name", "type", "index", "vram_total", "vram_free", "torch_vram_total", "torch_vram_free",
    }  # fmt: skip
    folder = (await asked(house, "/experiment/models"))[0]
    assert (folder["name"], folder["folders"]) == ("checkpoints", [])
    assert ".safetensors" in folder["extensions"]
    for path, expected in SMALL.items():
        assert await asked(house, path) == expected, path
        assert await asked(house, f"/api{path}") == expected, path
    # There is no library by content, which the editor only asks for where `assets` is true.
    for path in ("/view?filename=blake3:" + "0" * 64, "/api/assets", "/api/tags", "/viewvideo"):
        assert (await house.http.get(path)).status_code == 404, path
    ours = await house.http.get("/users", headers={"Origin": house.url})
    assert not [name for name in ours.headers if name.startswith("access-control-")]
    refused = await house.http.post("/users", json={"username": "eve"})
    assert (refused.status_code, refused.json()["error"]["details"]) == (400, "username")


async def test_only_what_nobody_can_run_is_shown_in_the_page(house: House):
    form = {"overwrite": "1", "subfolder": "a"}
    for color in ((255, 0, 0), (0, 0, 255)):
        kept = await upload(house, picture(color=color), "b [1].png", **form)
        assert kept.json() == {"name": "b [1].png", "subfolder": "a", "type": "input"}
    seen = await house.http.get("/view", params={"filename": "a/b [1].png [input]"})
    assert (seen.status_code, seen.content) == (200, picture(color=(0, 0, 255)))
    for mime in ("image/svg+xml", "text/html", "text/javascript", "text/css", "application/xml"):
        name = await made(house, b"<x/>", mime=mime, filename=f"{mime[-3:]}.x")
        answer = await house.http.get("/view", params={"filename": name}, headers={
            "Sec-Fetch-Dest": "image",
        })  # fmt: skip
        assert answer.headers["content-type"] == "application/octet-stream", mime
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["x-content-type-options"] == "nosniff"
