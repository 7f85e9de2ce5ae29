"""What breaks clients that were written for ComfyUI, seen from their side.

Other traps are shown where their subject is: labels of bodies, `%2F` in names, previews, cookies.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import cast

import pytest
from fastapi.routing import APIRoute

from libs.chassis import runner
from services.gateway.gateway import Gateway
from services.gateway.main import build_app
from tests.integration.gateway.house import GRAPH, House
from tests.integration.gateway.test_gateway_files import picture

# ComfyUI has these in one place only, or they are ours.
UNDER_API_ONLY = ("/jobs", "/workflows", "/v2/jobs", "/v2/assets", "/account")
BARE_ONLY = (
    "/internal/",
    "/docs/",
    "/templates/",
    "/pages/",
    "/page",
    "/licences",
    "/login",
    "/logout",
    "/healthz",
    "/readyz",
    "/metrics",
)
BIG_SEED = 2**64 - 1
ODD_IDS = ("123:45", "a.b", "x[1]", "ü")


async def test_a_prompt_counts_everywhere_as_soon_as_it_is_accepted(house: House):
    house.accept_all()
    prompt_id = await house.post("me")
    async with house.socket("me") as client:
        first = await client.next()
    assert first["data"]["status"]["exec_info"]["queue_remaining"] == 1
    assert (await house.http.get("/prompt")).json()["exec_info"]["queue_remaining"] == 1
    queue = (await house.http.get("/queue")).json()
    assert [item[1] for item in queue["queue_pending"]] == [prompt_id]
    jobs = (await house.http.get("/api/jobs")).json()["jobs"]
    assert [job["id"] for job in jobs] == [prompt_id]


async def test_a_prompt_is_never_in_neither_queue_nor_history(house: House):
    house.accept_all()
    prompt_id = await house.post("me")
    async with house.socket("me") as client:
        await house.run(prompt_id, data=picture())
        while True:
            frame = await client.next()
            queue = (await house.http.get("/queue")).json()
            listed = {item[1] for items in queue.values() for item in items}
            history = (await house.http.get("/history")).json()
            assert prompt_id in listed or prompt_id in history, frame
            if frame["type"] == "executing" and frame["data"]["node"] is None:
                break
    assert prompt_id in history


async def test_whoever_connects_after_the_end_finds_an_empty_queue_and_the_row(house: House):
    house.accept_all()
    prompt_id = await house.post("me")
    async with house.socket("other") as other:
        await other.until("status")
        await house.run(prompt_id, data=picture())
        while (await other.next())["data"]["status"]["exec_info"]["queue_remaining"]:
            continue
    async with house.socket("me") as client:
        first = await client.next()
        assert first["data"]["status"]["exec_info"]["queue_remaining"] == 0
        assert await client.silent()
    assert prompt_id in (await house.http.get(f"/history/{prompt_id}")).json()


async def test_every_frame_about_a_run_names_its_prompt_even_after_a_reconnect(house: House):
    house.accept_all()
    prompt_id = await house.post("me")
    async with house.socket("me") as client:
        await house.lease(prompt_id)
        await house.start(prompt_id)
        await house.step(prompt_id, "2", announces=True)
        await client.until("executing", node="2")
        told = [frame for frame in client.frames if frame["type"] != "status"]
    async with house.socket("me") as again:
        await again.until("executing", node="2")
        told += [frame for frame in again.frames if frame["type"] != "status"]
    assert len(told) > 4
    assert {frame["data"].get("prompt_id") for frame in told} == {prompt_id}


async def test_a_prompt_without_a_client_is_told_to_nobody(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        prompt_id = await house.post()
        await house.run(prompt_id, data=picture())
        while (await client.next())["type"] != "status" or not await client.silent(1):
            continue
    assert {frame["type"] for frame in client.frames} == {"status"}


async def test_big_seeds_and_odd_ids_come_back_as_they_were_sent(house: House):
    house.accept_all()
    graph = {
        name: {"class_type": "EmptyImage", "inputs": {"color": BIG_SEED}, "_meta": {"title": "ü"}}
        for name in ODD_IDS
    }
    prompt_id = await house.post("me", graph)
    assert (await house.http.get("/queue")).json()["queue_pending"][0][2] == graph
    await house.run(prompt_id, data=picture())
    async with house.socket("x") as client:
        while (await client.next())["data"]["status"]["exec_info"]["queue_remaining"]:
            continue
    text = (await house.http.get(f"/history/{prompt_id}")).text
    assert str(BIG_SEED) in text
    assert json.loads(text)[prompt_id]["prompt"][2] == graph


async def test_running_prompts_of_several_workers_are_all_shown_as_running(house: House):
    house.accept_all()
    ids = [await house.post("me") for _ in range(3)]
    for prompt_id in ids[:2]:
        await house.lease(prompt_id)
    async with house.socket("x") as client:
        await client.next()
    queue = (await house.http.get("/queue")).json()
    assert [item[1] for item in queue["queue_running"]] == ids[:2]
    assert [item[1] for item in queue["queue_pending"]] == ids[2:]


async def test_a_node_type_that_nobody_knows_is_an_empty_answer(house: House):
    answer = await house.http.get("/object_info/Primitive boolean [Crystools]")
    assert (answer.status_code, answer.json()) == (200, {})


@pytest.mark.parametrize("path", ["/prompt", "/queue", "/history", "/interrupt"])
async def test_a_form_label_on_a_bare_path_is_read_as_json(house: House, path: str):
    house.accept_all()
    label = {"Content-Type": "application/x-www-form-urlencoded"}
    body = json.dumps({"prompt": GRAPH}).encode()
    assert (await house.http.post(path, content=body, headers=label)).status_code == 200


def test_every_route_of_comfyui_is_found_bare_and_under_api():
    app = build_app(cast("Gateway", SimpleNamespace(editor=None)))
    found = {route.path for route in app.routes if isinstance(route, APIRoute)}
    bare = {path for path in found if not path.startswith("/api/")}
    twins = {path.removeprefix("/api") for path in found - bare}
    assert {path for path in twins - bare if not path.startswith(UNDER_API_ONLY)} == set()
    assert {path for path in bare - twins if not path.startswith(BARE_ONLY)} == {"/"}
    assert {"/prompt", "/queue", "/history", "/view", "/object_info", "/userdata"} <= bare & twins


def test_a_client_that_does_not_answer_pings_is_not_hung_up_on():
    # Blocking clients answer only while they receive, and ComfyUI never pings.
    assert runner.WEBSOCKET_PING_SECONDS is None
