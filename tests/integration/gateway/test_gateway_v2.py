"""/api/v2, the contract of the official SDK: jobs, their events, and assets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from blake3 import blake3
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.core.jsonvalue import Json
from libs.events.prompt import CancelRequested, PromptSubmitted
from tests.integration.gateway.house import GRAPH, House, eventually, open_house
from tests.integration.gateway.test_gateway_files import picture
from tests.integration.gateway.test_gateway_walls import new_key

LINKS = ("self", "events", "cancel")


async def submit(house: House, workflow: Any = GRAPH, key: str = "", **more: Any) -> Any:
    """Hand a workflow in; return the whole answer."""
    headers = {"Idempotency-Key": key} if key else {}
    return await house.http.post(
        "/api/v2/jobs", json={"workflow": workflow, **more}, headers=headers
    )


async def job(house: House, job_id: str) -> dict[str, Any]:
    """Return a job as it is now."""
    answer = await house.http.get(f"/api/v2/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def until(house: House, job_id: str, status: str) -> dict[str, Any]:
    """Wait until a job is in that state."""

    async def reached() -> bool:
        return bool((await job(house, job_id))["status"] == status)

    await eventually(reached)
    return await job(house, job_id)


async def keep(house: House, data: bytes, path: str = "photo.png", **fields: str) -> Any:
    """Upload a picture; return the whole answer."""
    form = {"content_type": "image/png", "file_path": path, **fields}
    return await house.http.post(
        "/api/v2/assets", data=form, files={"file": ("file", data, "image/png")}
    )


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def hash_of(data: bytes) -> str:
    return f"blake3:{blake3(data).hexdigest()}"


async def test_a_job_is_followed_from_the_queue_to_its_output(house: House):
    house.accept_all()
    answer = await submit(house)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    job_id = made["id"]
    assert (made["status"], made["queue_position"], made["outputs"]) == ("queued", 0, [])
    assert all(made["urls"][link].startswith(f"/api/v2/jobs/{job_id}") for link in LINKS)
    await house.lease(job_id)
    await house.start(job_id, cached=("1",))
    await house.step(job_id, "2", announces=True, total=4)
    await house.step(job_id, "2", value=2, total=4)

    async def halfway() -> bool:
        return bool((await job(house, job_id))["progress"].get("step") == 2)

    await eventually(halfway)
    running = await job(house, job_id)
    assert running["status"] == "running"
    assert running["progress"]["value"] == 0.5
    assert (running["progress"]["nodes_done"], running["progress"]["nodes_total"]) == (1, 3)
    assert running["progress"]["current_node"] == "2"
    output = await house.output(job_id, data=picture())
    await house.node_done(job_id, output)
    assert (await job(house, job_id))["outputs"] == []
    await house.release(job_id, output)
    await house.finished(job_id)
    await house.end(job_id)
    done = await until(house, job_id, "succeeded")
    assert done["progress"]["value"] == 1
    assert done["completed_at"]
    assert [(o["node_id"], o["name"], o["type"]) for o in done["outputs"]] == [
        ("3", output.filename, "image")
    ]
    assert (await house.http.get(done["outputs"][0]["url"])).content == picture()
    asset = (await house.http.get(f"/api/v2/assets/{done['outputs'][0]['id']}")).json()
    assert (asset["job_id"], asset["size_bytes"]) == (job_id, len(picture()))
    workflow = (await house.http.get(f"/api/v2/jobs/{job_id}/workflow")).json()
    assert workflow == {"workflow": GRAPH, "format": "api"}
    assert (await house.http.get(f"/api/v2/jobs/{job_id}/logs")).status_code == 204
    listed = (await house.http.get("/api/v2/jobs")).json()
    assert [found["id"] for found in listed["jobs"]] == [job_id]


async def test_the_events_of_a_job_end_with_its_end(house: House):
    house.accept_all()
    job_id = (await submit(house)).json()["id"]
    heard: list[tuple[str, Any]] = []

    async def listen() -> None:
        async with house.http.stream("GET", f"/api/v2/jobs/{job_id}/events") as stream:
            name = ""
            async for line in stream.aiter_lines():
                word, _, rest = line.partition(": ")
                if word == "event":
                    name = rest
                elif word == "data":
                    heard.append((name, json.loads(rest)))

    listening = asyncio.create_task(listen())

    async def greeted() -> bool:
        return bool(heard)

    await eventually(greeted)
    assert heard == [("status", {"status": "queued", "queue_position": 0})]
    await house.run(job_id, data=picture())
    await asyncio.wait_for(listening, 30)
    assert heard[-1] == ("status", {"status": "succeeded", "queue_position": None})
    assert [data["name"] for name, data in heard if name == "output"] == ["x_3_00000_.png"]


async def test_a_failed_job_names_the_node_and_the_reason(house: House):
    house.accept_all()
    job_id = (await submit(house)).json()["id"]
    await house.lease(job_id)
    await house.start(job_id)
    await house.failed(job_id)
    await house.end(job_id, "failed")
    error = (await until(house, job_id, "failed"))["error"]
    assert error == {
        "code": "node_execution_error",
        "message": "out of paint",
        "node_id": "2",
        "class_type": "EmptyImage",
        "traceback": "line 1\n",
    }


async def test_a_job_is_cancelled_in_the_queue_and_on_a_worker(house: House):
    house.accept_all()

    async def scheduler(recorded: Any) -> None:
        if recorded.event.prompt_id not in house.orders:
            await house.end(recorded.event.prompt_id, "cancelled", attempt=0)

    house.react(CancelRequested, scheduler)
    waiting = (await submit(house)).json()["id"]
    cancelled = (await house.http.post(f"/api/v2/jobs/{waiting}/cancel")).json()
    assert cancelled["status"] == "canceled"
    running = (await submit(house)).json()["id"]
    await house.lease(running)
    await house.start(running)
    house.gateway.settings.__dict__["settle_seconds"] = 0
    assert (await house.http.post(f"/api/v2/jobs/{running}/cancel")).json()["status"] == "canceling"
    await house.interrupted(running)
    await house.end(running, "cancelled")
    await until(house, running, "canceled")
    again = await house.http.post(f"/api/v2/jobs/{running}/cancel")
    assert again.json()["status"] == "canceled"


async def test_a_key_makes_one_job_and_is_given_back_when_it_makes_none(house: House):
    detail: Json = {
        "error": {"type": "t", "message": "m", "details": "d"},
        "node_errors": {"3": {}},
    }

    async def refuse(recorded: Any) -> None:
        await house.reject(recorded.event.prompt_id, detail)

    house.react(PromptSubmitted, refuse)
    wrong = await submit(house, key="mine")
    assert code_of(wrong) == (422, "invalid_workflow")
    assert wrong.json()["error"]["details"]["node_errors"] == {"3": {}}
    house.tasks.pop().cancel()
    house.accept_all()
    first = await submit(house, key="mine")
    assert first.status_code == 201
    again = await submit(house, key="mine")
    assert code_of(again) == (422, "idempotency_key_reuse")
    assert again.json()["error"]["details"]["job_id"] == first.json()["id"]
    assert len([e for e in house.bus.journal_events() if isinstance(e, PromptSubmitted)]) == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"workflow": {"nodes": [], "links": []}}, "workflow_format_ui"),
        ({"workflow": []}, "invalid_workflow"),
        ({}, "invalid_workflow"),
        ({"workflow": GRAPH, "metadata": {"a": "b"}}, "metadata_not_supported"),
        ({"workflow": GRAPH, "webhook_url": "http://x"}, "invalid_request"),
        ({"workflow": GRAPH, "extra_data": {"front": True}}, "invalid_request"),
        ({"workflow": {"1": {"__type": "core/ASSET", "info": {"id": "no"}}}}, "missing_asset"),
        ({"workflow": {"1": {"__type": "core/ASSET"}}}, "missing_asset"),
    ],
)
async def test_what_cannot_be_a_job_is_refused_by_its_name(house: House, body: Any, code: str):
    assert code_of(await house.http.post("/api/v2/jobs", json=body)) == (422, code)


async def test_jobs_are_listed_in_pages_the_newest_first(house: House):
    house.accept_all()
    ids = [(await submit(house)).json()["id"] for _ in range(3)]
    await house.run(ids[0])
    await until(house, ids[0], "succeeded")
    first = (await house.http.get("/api/v2/jobs", params={"limit": 2})).json()
    assert [found["id"] for found in first["jobs"]] == [ids[2], ids[1]]
    cursor = first["next_cursor"]
    last = (await house.http.get("/api/v2/jobs", params={"cursor": cursor})).json()
    assert [(found["id"], found["status"]) for found in last["jobs"]] == [(ids[0], "succeeded")]
    assert "next_cursor" not in last
    for query in ("limit=0", "limit=x", "metadata[a]=b"):
        assert (await house.http.get(f"/api/v2/jobs?{query}")).status_code == 422


async def test_bytes_are_kept_once_and_known_by_their_hash(house: House):
    data = picture()
    head = f"/api/v2/assets/by-hash/{hash_of(data)}"
    assert (await house.http.head(head)).status_code == 404
    made = await keep(house, data, "mine/photo.png", expected_hash=hash_of(data))
    assert made.status_code == 201, made.text
    asset = made.json()
    assert (asset["hash"], asset["file_path"]) == (hash_of(data), "mine/photo.png")
    assert asset["created_new"]
    assert (await house.http.head(head)).status_code == 200
    again = await keep(house, data)
    assert (again.status_code, again.json()["id"]) == (200, asset["id"])
    minted = await house.http.post("/api/v2/assets/from-hash", json={"hash": hash_of(data)})
    assert (minted.json()["id"], minted.json()["created_new"]) == (asset["id"], False)
    assert (await house.http.get(asset["url"])).content == data
    part = await house.http.get(asset["url"], headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, data[:4])
    listed = (await house.http.get("/object_info/LoadImage")).text
    assert "mine/photo.png" in listed
    where = f"/api/v2/assets/{asset['id']}"
    assert (await house.http.delete(where)).status_code == 204
    assert code_of(await house.http.delete(where)) == (404, "not_found")
    assert code_of(await house.http.get(f"{where}/content")) == (404, "not_found")
    missed = await house.http.post("/api/v2/assets/from-hash", json={"hash": hash_of(data)})
    assert code_of(missed) == (404, "blob_not_found")


async def test_an_asset_is_not_another_file_that_took_its_name(house: House):
    asset = (await keep(house, picture(), "a.png")).json()
    files = {"image": ("a.png", picture("WEBP"), "image/webp")}
    await house.http.post("/upload/image", files=files, data={"overwrite": "true"})
    assert (await house.http.get(f"/api/v2/assets/{asset['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"expected_hash": hash_of(b"other")}, (409, "hash_mismatch")),
        ({"file_path": "../a.png"}, (403, "forbidden")),
        ({"file_path": "a\0.png"}, (422, "invalid_filename")),
    ],
)
async def test_uploads_that_are_not_what_they_say_are_refused(
    house: House, fields: dict[str, str], expected: tuple[int, str]
):
    path = fields.get("file_path", "a.png")
    rest = {name: value for name, value in fields.items() if name != "file_path"}
    assert code_of(await keep(house, picture(), path, **rest)) == expected
    assert code_of(await keep(house, b"no picture")) == (415, "unsupported_media_type")


async def test_a_reference_in_a_workflow_becomes_the_name_of_its_file(house: House):
    house.accept_all()
    asset = (await keep(house, picture(), "mine/photo.png")).json()
    made = (await submit(house)).json()["id"]
    await house.run(made, data=picture())
    output = (await until(house, made, "succeeded"))["outputs"][0]
    assert code_of(await house.http.delete(f"/api/v2/assets/{output['id']}")) == (
        409,
        "asset_in_use",
    )
    graph = {
        name: {
            "class_type": "LoadImage",
            "inputs": {"image": {"__type": "core/ASSET", "info": {"id": one["id"]}}},
        }
        for name, one in (("1", asset), ("2", output))
    }
    job_id = (await submit(house, graph)).json()["id"]
    told = (await house.http.get(f"/api/v2/jobs/{job_id}/workflow")).json()["workflow"]
    names = [told[name]["inputs"]["image"] for name in ("1", "2")]
    assert names == ["mine/photo.png", f"{output['name']} [output]"]


async def test_nobody_reaches_jobs_and_assets_of_others(engine: AsyncEngine):
    async with open_house(engine, auth="keys") as house:
        house.accept_all()
        ann, bob = await new_key(engine, "acme", "ann"), await new_key(engine, "acme", "bob")
        house.http.headers.update(ann)
        job_id = (await submit(house)).json()["id"]
        asset = (await keep(house, picture())).json()
        house.http.headers.update(bob)
        for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/events", f"/assets/{asset['id']}"):
            answer = await house.http.get(f"/api/v2{path}")
            assert code_of(answer) == (404, "not_found")
        assert (await house.http.post(f"/api/v2/jobs/{job_id}/cancel")).status_code == 404
        assert (await house.http.get("/api/v2/jobs")).json() == {"jobs": []}
        by_hash = f"/api/v2/assets/by-hash/{hash_of(picture())}"
        assert (await house.http.head(by_hash)).status_code == 404
        theirs = (await keep(house, picture())).json()
        assert theirs["created_new"]
        assert theirs["id"] != asset["id"]
        del house.http.headers["authorization"]
        assert code_of(await house.http.get("/api/v2/jobs")) == (401, "unauthorized")
