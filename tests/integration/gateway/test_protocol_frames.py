"""Frames on ComfyUI's socket, to their last field and in their order."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.gateway.house import GRAPH, House
from tests.integration.gateway.test_protocol_answers import EDITOR, FAILURE, without_times

FLAGS = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
# Asked for by the editor while a person works in it; none may be unknown.
NEEDED = (
    ("GET", "/api/users"),
    ("GET", "/api/settings"),
    ("GET", "/api/settings/x"),
    ("POST", "/api/settings"),
    ("POST", "/api/settings/x"),
    ("GET", "/api/userdata?dir=."),
    ("POST", "/api/userdata/a.json?overwrite=false&full_info=true"),
    ("GET", "/api/userdata/a.json"),
    ("POST", "/api/userdata/a.json/move/b.json?overwrite=false"),
    ("DELETE", "/api/userdata/b.json"),
    ("GET", "/api/object_info"),
    ("GET", "/api/extensions"),
    ("GET", "/api/prompt"),
    ("POST", "/api/prompt"),
    ("GET", "/api/jobs"),
    ("POST", "/api/jobs/cancel"),
    ("POST", "/api/jobs/x/cancel"),
    ("POST", "/api/interrupt"),
    ("POST", "/api/queue"),
    ("POST", "/api/history"),
    ("POST", "/api/upload/image"),
    ("POST", "/api/upload/mask"),
    ("GET", "/api/view"),
    ("GET", "/api/features"),
    ("GET", "/api/system_stats"),
    ("GET", "/api/experiment/models"),
    ("GET", "/api/i18n"),
    ("GET", "/api/global_subgraphs"),
    ("GET", "/api/node_replacements"),
    ("GET", "/api/workflow_templates"),
    ("GET", "/internal/logs/raw"),
    ("PATCH", "/internal/logs/subscribe"),
    ("GET", "/internal/files/input"),
    ("POST", "/api/free"),
    ("GET", "/docs/KSampler/en.md"),
    ("GET", "/templates/index.json"),
)


def told(frames: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(frame["type"], without_times(frame["data"])) for frame in frames]


def status(remaining: int) -> tuple[str, Any]:
    return "status", {"status": {"exec_info": {"queue_remaining": remaining}}}


async def test_a_run_is_told_to_the_last_field(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        await client.socket.send(json.dumps(FLAGS))
        await client.until("feature_flags")
        prompt_id = await house.post("me")
        await house.run(prompt_id)
        frames = await client.until("executing", node=None)
    features = (await house.http.get("/features")).json()

    def state(node_id: str, word: str, value: int) -> dict[str, Any]:
        place = {"display_node_id": node_id, "parent_node_id": None, "real_node_id": node_id}
        facts = {"value": value, "max": 1, "state": word, "node_id": node_id, **mine, **place}
        return {node_id: facts}

    mine: dict[str, Any] = {"prompt_id": prompt_id}
    over = state("2", "finished", 1)
    image = {"filename": "x_3_00000_.png", "subfolder": "", "type": "output"}
    assert told(frames) == [
        ("status", {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "me"}),
        ("feature_flags", features),
        status(1),
        status(1),
        ("execution_start", {**mine, "timestamp": "T"}),
        ("execution_cached", {"nodes": [], **mine, "timestamp": "T"}),
        ("progress_state", {**mine, "nodes": state("2", "running", 0)}),
        ("executing", {"node": "2", "display_node": "2", **mine}),
        ("progress_state", {**mine, "nodes": over}),
        ("progress_state", {**mine, "nodes": {**over, **state("3", "running", 0)}}),
        ("executing", {"node": "3", "display_node": "3", **mine}),
        ("executed", {"node": "3", "display_node": "3", "output": {"images": [image]}, **mine}),
        ("progress_state", {**mine, "nodes": {**over, **state("3", "finished", 1)}}),
        ("execution_complete", mine),
        ("execution_success", {**mine, "timestamp": "T"}),
        status(0),
        ("executing", {"node": None, **mine}),
    ]


async def test_the_other_ends_are_told_to_the_last_field(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        await client.until("status")
        failed = await house.post("me")
        await house.lease(failed)
        await house.start(failed)
        await house.step(failed, "2", announces=True, total=4)
        await house.step(failed, "2", value=1, total=4)
        await house.failed(failed)
        await house.end(failed, "failed")
        first = (await client.until("executing", node=None))[-4:]
        stopped = await house.post("me")
        await house.lease(stopped)
        await house.start(stopped)
        await house.step(stopped, "2", announces=True)
        await house.interrupted(stopped)
        await house.end(stopped, "cancelled")
        second = (await client.until("executing", node=None, prompt_id=stopped))[-3:]
    where = {"node_id": "2", "node_type": "EmptyImage", "executed": ["1"]}
    assert told(first) == [
        ("progress", {"value": 1, "max": 4, "prompt_id": failed, "node": "2"}),
        ("execution_error", {"prompt_id": failed, **FAILURE, "timestamp": "T"}),
        status(0),
        ("executing", {"node": None, "prompt_id": failed}),
    ]
    assert told(second) == [
        ("execution_interrupted", {"prompt_id": stopped, **where, "timestamp": "T"}),
        status(0),
        ("executing", {"node": None, "prompt_id": stopped}),
    ]


async def test_every_failure_is_told_alike_by_socket_history_and_jobs(house: House):
    house.accept_all()
    told_of: dict[str, Any] = {}
    async with house.socket("me") as client:
        for outcome in ("failed", "lost", "blocked", "expired"):
            prompt_id = await house.post("me")
            await house.lease(prompt_id)
            await house.start(prompt_id)
            if outcome == "failed":
                await house.failed(prompt_id)
            if outcome == "blocked":
                output = await house.output(prompt_id)
                await house.node_done(prompt_id, output)
                await house.block(prompt_id, output)
            ended: Any = "failed" if outcome == "lost" else outcome
            await house.end(prompt_id, ended)
            frames = await client.until("executing", node=None, prompt_id=prompt_id)
            (error,) = [
                frame["data"]
                for frame in frames
                if frame["type"] == "execution_error" and frame["data"]["prompt_id"] == prompt_id
            ]
            told_of[prompt_id] = without_times(error)
    kinds = [error["exception_type"] for error in told_of.values()]
    assert kinds == ["PaintError", "WorkerLost", "ContentBlocked", "RunExpired"]
    history = (await house.http.get("/history")).json()
    jobs = {job["id"]: job for job in (await house.http.get("/api/jobs")).json()["jobs"]}
    for prompt_id, error in told_of.items():
        (kept,) = [
            facts
            for name, facts in history[prompt_id]["status"]["messages"]
            if name == "execution_error"
        ]
        assert without_times(kept) == error
        assert without_times(jobs[prompt_id]["execution_error"]) == error
        assert jobs[prompt_id]["status"] == "failed"


async def test_the_editor_finds_everything_that_it_needs(house: House):
    house.accept_all()
    for method, path in NEEDED:
        answer = await house.http.request(method, path, headers=EDITOR, content=b"")
        assert answer.status_code not in (404, 405), path
        assert answer.status_code < 500, path
    for path in ("comfy.templates.json", "user.css", "workflows%2F.index.json"):
        assert (await house.http.get(f"/api/userdata/{path}")).status_code == 404
    assert (await house.http.get("/api/userdata?dir=subgraphs")).status_code == 404
    body: dict[str, Any] = {
        "client_id": "me",
        "prompt": GRAPH,
        "partial_execution_targets": ["3"],
        "extra_data": {
            "extra_pnginfo": {"workflow": {"nodes": []}},
            "comfy_usage_source": "comfyui-frontend",
            "preview_method": "default",
        },
    }
    made = await house.http.post("/api/prompt", json=body, headers=EDITOR)
    assert set(made.json()) == {"prompt_id", "number", "node_errors"}
    extra = (await house.http.get("/queue")).json()["queue_pending"][0][3]
    assert extra.pop("create_time") > 1_700_000_000_000
    assert extra == {**body["extra_data"], "client_id": "me"}
