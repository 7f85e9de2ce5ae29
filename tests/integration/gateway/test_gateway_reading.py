"""Queue, history, jobs and node types, in both dialects."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.events.prompt import HistoryRemoved
from tests.integration.gateway.house import (
    GRAPH,
    HIP_GRAPH,
    House,
    eventually,
    fresh_id,
    open_house,
)


async def in_history(house: House, *prompt_ids: str) -> dict[str, Any]:
    """Wait until prompts are in the history; return it as ComfyUI shows it."""
    found: dict[str, Any] = {}

    async def there() -> bool:
        found.update((await house.http.get("/history")).json())
        return set(prompt_ids) <= set(found)

    await eventually(there)
    return found


@pytest.mark.covers("R191", "R192", "R193")
async def test_the_queue_has_two_shapes(house: House):
    house.accept_all()
    running, waiting = await house.post(graph=HIP_GRAPH), await house.post()
    await house.lease(running)
    await asyncio.sleep(0.05)
    hip = (await house.http.get("/api/queue")).json()
    (now,), (next_one,) = hip["queue_running"], hip["queue_pending"]
    assert now["prompt_id"] == running
    assert now["workflow"] == HIP_GRAPH
    assert datetime.fromisoformat(now["started"]).utcoffset() is not None
    assert now["started"].endswith("Z")
    assert (next_one["prompt_id"], next_one["number"]) == (waiting, 0)
    assert datetime.fromisoformat(next_one["queued"])
    comfy = (await house.http.get("/queue")).json()
    number, prompt_id, prompt, extra, outputs = comfy["queue_running"][0]
    assert (number, prompt_id, outputs) == (1, running, ["3"])
    assert prompt["3"]["class_type"] == "SaveImage"
    assert prompt["3"]["inputs"]["images"] == ["2", 0]
    assert extra["create_time"]
    for headers, query in (({"Comfy-User": ""}, ""), ({}, "?format=comfyui")):
        shown = await house.http.get(f"/api/queue{query}", headers=headers)
        assert shown.json() == comfy


@pytest.mark.covers("R194", "R197", "R198", "R199", "R200", "R201")
async def test_the_history_has_two_shapes(house: House):
    house.accept_all()
    prompt_id = await house.post()
    await house.run(prompt_id)
    comfy = (await in_history(house, prompt_id))[prompt_id]
    assert comfy["prompt"][:3] == [1, prompt_id, GRAPH]
    assert comfy["prompt"][4] == ["3"]
    images = [{"filename": "x_3_00000_.png", "subfolder": "", "type": "output"}]
    assert comfy["outputs"] == {"3": {"images": images}}
    assert comfy["status"]["status_str"] == "success"
    assert comfy["status"]["completed"] is True
    names = [name for name, _ in comfy["status"]["messages"]]
    assert names == ["execution_start", "execution_cached", "execution_success"]
    assert all(facts["prompt_id"] == prompt_id for _, facts in comfy["status"]["messages"])
    assert comfy["meta"]["3"]["display_node"] == "3"
    hip = (await house.http.get("/api/history")).json()[prompt_id]
    assert hip["prompt"]["version"] == 1
    assert hip["prompt"]["nodes"]["3"]["inputs"]["images"] == ["2", "IMAGE"]
    assert hip["outputs"] == comfy["outputs"]
    times = [datetime.fromisoformat(moment) for moment, _ in hip["status"]["messages"]]
    assert times == sorted(times)
    assert hip["status"]["status_str"] == "success"
    assert hip["usage"]["compute_ms"] == 12


@pytest.mark.covers("R197")
async def test_a_hip35_prompt_comes_back_as_it_was_sent(house: House):
    house.accept_all()
    prompt_id = await house.post(graph=HIP_GRAPH)
    await house.run(prompt_id)
    await in_history(house, prompt_id)
    assert (await house.http.get("/api/history")).json()[prompt_id]["prompt"] == HIP_GRAPH


@pytest.mark.covers("R195", "R196")
async def test_the_history_is_filtered_and_paged(house: House):
    house.accept_all()
    ids = [await house.post() for _ in range(3)]
    for prompt_id in ids:
        await house.run(prompt_id)
    assert list(await in_history(house, *ids)) == ids

    async def asked(query: str) -> list[str]:
        return list((await house.http.get(f"/api/history?{query}")).json())

    assert await asked(f"prompt_id={ids[1]}") == [ids[1]]
    assert await asked(f"prompt_id={fresh_id()}") == []
    assert await asked("prompt_id=%00") == []
    assert await asked("max_items=2") == ids[1:]
    assert await asked("max_items=1&offset=1") == [ids[1]]
    assert await asked("offset=0") == ids
    assert await asked("offset=99") == []
    assert list((await house.http.get(f"/history/{ids[2]}")).json()) == [ids[2]]
    assert (await house.http.get("/history/none")).json() == {}
    bad = await house.http.get("/history?max_items=many")
    assert (bad.status_code, bad.json()["error"]["details"]) == (400, "max_items")


@pytest.mark.covers("R196")
async def test_hip35_shows_two_hundred_entries_unless_asked_for_more(house: House):
    house.accept_all()
    for _ in range(201):
        prompt_id = await house.post()
        await house.lease(prompt_id)
        await house.end(prompt_id)

    async def all_there() -> bool:
        return len((await house.http.get("/history")).json()) == 201

    await eventually(all_there)
    assert len((await house.http.get("/api/history")).json()) == 200
    assert len((await house.http.get("/api/history?max_items=5")).json()) == 5


@pytest.mark.covers("P02")
async def test_entries_are_taken_off_the_history(house: House):
    house.accept_all()
    ids = [await house.post() for _ in range(3)]
    for prompt_id in ids:
        await house.run(prompt_id)
    await in_history(house, *ids)
    waiting = await house.post()
    await house.http.post("/history", json={"delete": [ids[0], waiting, fresh_id(), ids[0]]})
    assert list((await house.http.get("/history")).json()) == ids[1:]
    await house.http.post("/api/history", json={"clear": True})
    assert (await house.http.get("/history")).json() == {}
    assert (await house.http.get("/prompt")).json()["exec_info"]["queue_remaining"] == 1
    await house.http.post("/history", json={"delete": [ids[0]]})
    removed = [e for e in house.bus.journal_events() if isinstance(e, HistoryRemoved)]
    assert sorted(event.prompt_id for event in removed) == sorted(ids)


async def test_jobs_list_open_and_finished_prompts(house: House):
    house.accept_all()
    done = await house.post()
    await house.run(done)
    await in_history(house, done)
    running, waiting = await house.post(), await house.post()
    await house.lease(running)
    await asyncio.sleep(0.05)
    jobs = (await house.http.get("/api/jobs?sort_order=asc")).json()
    shown = [(job["id"], job["status"]) for job in jobs["jobs"]]
    assert shown == [(done, "completed"), (running, "in_progress"), (waiting, "pending")]
    assert jobs["jobs"][0]["preview_output"]["filename"] == "x_3_00000_.png"
    page = (await house.http.get("/api/jobs?status=in_progress,pending&limit=1")).json()
    assert page["pagination"] == {"offset": 0, "limit": 1, "total": 2, "has_more": True}
    detail = (await house.http.get(f"/api/jobs/{done}")).json()
    assert detail["workflow"]["prompt"] == GRAPH
    assert detail["execution_status"]["completed"] is True
    assert (await house.http.get(f"/api/jobs/{waiting}")).json()["workflow"]["prompt"] == GRAPH
    missing = await house.http.get(f"/api/jobs/{fresh_id()}")
    assert (missing.status_code, missing.json()) == (404, {"error": "Job not found"})
    for query in ("status=lost", "limit=0", "limit=x", "sort_by=luck", "offset=-1"):
        assert (await house.http.get(f"/api/jobs?{query}")).status_code == 400


@pytest.mark.covers("P01")
async def test_node_types_are_described_in_both_languages(house: House):
    await house.register_worker("demo.safetensors")

    async def listed() -> bool:
        return "demo.safetensors" in (await house.http.get("/object_info")).text

    await eventually(listed)
    info = (await house.http.get("/api/object_info")).json()
    assert {"KSampler", "SaveImage", "CheckpointLoaderSimple"} <= set(info)
    sampler = info["KSampler"]["input"]["required"]["seed"]
    assert sampler[1]["max"] == 2**64 - 1
    one = (await house.http.get("/object_info/CheckpointLoaderSimple")).json()
    assert list(one) == ["CheckpointLoaderSimple"]
    assert "demo.safetensors" in str(one)
    unknown = await house.http.get("/object_info/Primitive%20boolean%20[Crystools]")
    assert (unknown.status_code, unknown.json()) == (200, {})
    nodes = (await house.http.get("/api/nodes")).json()
    assert nodes["SaveImage"]["type"] == "SaveImage"
    assert (await house.http.get("/models/checkpoints")).json() == ["demo.safetensors"]
    assert (await house.http.get("/models/none")).status_code == 404


@pytest.mark.covers("P06")
async def test_probes_and_small_answers(house: House):
    assert (await house.http.get("/healthz")).json() == {"status": "ok"}
    ready = await house.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "missing": []})
    metrics = (await house.http.get("/metrics")).text
    assert 'studio_gateway_requests_total{route="/readyz",status="200"}' in metrics
    for path in ("/system_stats", "/features", "/embeddings", "/extensions", "/users"):
        assert (await house.http.get(path)).status_code == 200
        assert (await house.http.get(f"/api{path}")).status_code == 200
    assert (await house.http.get("/extensions")).json() == []
    page = await house.http.get("/page")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_a_gateway_that_has_not_read_the_queue_says_so(engine: AsyncEngine):
    async with open_house(engine) as house:
        house.gateway.live._caught_up.clear()
        ready = await house.http.get("/readyz")
        assert ready.status_code == 503
        assert "queue" in ready.json()["missing"][0]


@pytest.mark.parametrize("path", ["/user.css", "/templates/none.jpg", "/api/none", "/a/b/c"])
async def test_unknown_paths_stay_unknown(house: House, path: str):
    answer = await house.http.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found"
    assert (await house.http.put("/prompt")).status_code == 405


async def test_a_new_gateway_knows_the_queue_of_the_one_before(engine: AsyncEngine):
    async with open_house(engine) as house:
        house.accept_all()
        done, running = await house.post(), await house.post()
        await house.run(done)
        await house.lease(running)
        await in_history(house, done)
        live = house.gateway.live
        before = live.queue
        fresh = type(before)()
        house.gateway.live.queue = fresh
        live._position = 0
        reading = asyncio.create_task(live._follow())

        async def read() -> bool:
            return len(fresh) == 1

        await eventually(read)
        reading.cancel()
        queue = (await house.http.get("/queue")).json()
        assert [item[1] for item in queue["queue_running"]] == [running]
        assert queue["queue_pending"] == []


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort_by", ["created_at", "execution_duration"])
async def test_the_pages_of_the_list_are_the_whole_list_in_its_order(
    house: House, sort_by: str, order: str
):
    house.accept_all()
    done = [await house.post() for _ in range(4)]
    for prompt_id in done[1:]:
        await house.run(prompt_id)
    await house.lease(done[0])
    await house.end(done[0], "failed")
    await in_history(house, *done)
    running, *waiting = [await house.post() for _ in range(4)]
    await house.lease(running)
    path = f"/api/jobs?sort_by={sort_by}&sort_order={order}"

    async def of(query: str) -> list[str]:
        return [job["id"] for job in (await house.http.get(path + query)).json()["jobs"]]

    whole = await of("&limit=50")
    assert sorted(whole) == sorted([*done, running, *waiting])
    if sort_by == "created_at":
        created = [*done, running, *waiting]
        assert whole == (created if order == "asc" else created[::-1])
    for size in (1, 3):
        pages = [await of(f"&limit={size}&offset={offset}") for offset in range(0, 9, size)]
        assert [prompt_id for page in pages for prompt_id in page] == whole
    last = (await house.http.get(path + "&limit=3&offset=6")).json()["pagination"]
    assert last == {"offset": 6, "limit": 3, "total": 8, "has_more": False}
    assert await of("&status=failed") == [done[0]]
    assert set(await of("&status=completed,in_progress")) == {*done[1:], running}
    assert await of("&limit=99999999999999999999&offset=99999999999999999999") == []
