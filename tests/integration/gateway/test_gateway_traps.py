"""What breaks clients that were written for ComfyUI, seen from their side.

Other traps are shown where their subject is: labels of bodies, `%2F` in names, previews, cookies.
"""

from __future__ import annotations

import json
from itertools import product
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.routing import APIRoute

from services.gateway.gateway import Gateway
from services.gateway.main import build_app
from tests.integration.gateway.house import GRAPH, House, eventually

# What the editor asks before it can be used, in its order, and what each answer is.
LOADING: list[tuple[str, str, type]] = [
    ("GET", "/api/features", dict),
    ("GET", "/api/users", dict),
    ("GET", "/api/system_stats", dict),
    ("GET", "/api/settings", dict),
    ("GET", "/api/i18n", dict),
    ("GET", "/api/extensions", list),
    ("GET", "/api/object_info", dict),
    ("GET", "/api/global_subgraphs", dict),
    ("GET", "/api/jobs?status=in_progress,pending&limit=200&offset=0", dict),
    ("GET", "/api/jobs?status=completed,failed,cancelled&limit=64&offset=0", dict),
    ("GET", "/api/node_replacements", dict),
    ("GET", "/api/workflow_templates", dict),
    ("GET", "/templates/index.json", list),
    ("GET", "/api/experiment/models", list),
]
EDITOR = {"Comfy-User": ""}
# Only under /api, only bare, and what clients ask for at both.
ONLY_API = ("/jobs", "/jobs/x", "/jobs/x/cancel", "/jobs/cancel", "/jobs/x/events")
ONLY_BARE = ("/internal/logs", "/internal/logs/raw", "/internal/files/input")
BOTH = (
    "/prompt",
    "/queue",
    "/history",
    "/history/x",
    "/object_info",
    "/object_info/SaveImage",
    "/system_stats",
    "/features",
    "/users",
    "/settings",
    "/embeddings",
    "/extensions",
    "/models",
    "/experiment/models",
    "/i18n",
    "/global_subgraphs",
    "/node_replacements",
    "/workflow_templates",
)
ODD_IDS = ("123:45", "a.b", "x[0]", "ü")
LABELS = ("text/plain", "application/x-www-form-urlencoded", "application/json", "")
# ComfyUI has these in one place only, or they are ours.
UNDER_API_ONLY = ("/jobs", "/workflows", "/v2/jobs", "/v2/assets", "/account", "/node_packs")
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


async def test_the_editor_gets_all_that_it_asks_for_before_it_can_be_used(house: House):
    for method, path, shape in LOADING:
        answer = await house.http.request(method, path, headers=EDITOR)
        assert answer.status_code == 200, path
        assert isinstance(answer.json(), shape), path
    missing = "/api/userdata?dir=workflows&recurse=true&split=false&full_info=true"
    assert (await house.http.get(missing)).status_code in (200, 404)
    saved = await house.http.post(
        "/api/settings/Comfy.InstalledVersion", content=b'"1.58.1"', headers={**EDITOR}
    )
    assert (saved.status_code, saved.content) == (200, b"")


async def test_routes_are_found_where_clients_look_for_them(house: House):
    async def found(path: str) -> bool:
        return (await house.http.get(path)).status_code != 404

    for path in BOTH:
        assert await found(path), path
        assert await found(f"/api{path}"), path
    for path in ONLY_BARE:
        assert await found(path), path
        assert not await found(f"/api{path}"), path
    for path in ONLY_API:
        assert not await found(path), path
    assert await found("/api/jobs")


@pytest.mark.covers("P02")
async def test_bodies_are_read_whatever_their_label_says(house: House):
    for label, (path, body) in product(
        LABELS,
        (
            ("/settings", b'{"a": 1}'),
            ("/api/settings", b'{"b": 2}'),
            ("/api/settings/c", b"3"),
            ("/queue", b'{"clear": true}'),
            ("/history", b'{"delete": []}'),
            ("/interrupt", b""),
            ("/api/interrupt", b""),
            ("/free", b'{"unload_models": false}'),
        ),
    ):
        headers = {**EDITOR, **({"Content-Type": label} if label else {})}
        answer = await house.http.post(path, content=body, headers=headers)
        assert (answer.status_code, answer.content) == (200, b""), (path, label)
    assert (await house.http.get("/settings")).json() == {"a": 1, "b": 2, "c": 3}


async def test_what_was_just_handed_in_is_counted_wherever_a_client_looks(house: House):
    house.accept_all()
    for count in (1, 2, 3):
        prompt_id = await house.post("me")
        async with house.socket("me") as client:
            first = await client.next()
        assert first["data"]["status"]["exec_info"]["queue_remaining"] == count
        pending = (await house.http.get("/queue")).json()["queue_pending"]
        assert prompt_id in [item[1] for item in pending]
        remaining = (await house.http.get("/prompt")).json()["exec_info"]["queue_remaining"]
        assert remaining == count
        jobs = (await house.http.get("/api/jobs?status=pending")).json()
        assert jobs["pagination"]["total"] == count
        assert prompt_id in [job["id"] for job in jobs["jobs"]]


async def test_a_prompt_is_never_in_neither_queue_nor_history(house: House):
    house.accept_all()
    prompt_id = await house.post("me")
    async with house.socket("me") as client:
        await house.run(prompt_id)
        while True:
            frame = await client.next()
            queue = (await house.http.get("/queue")).json()
            listed = {item[1] for items in queue.values() for item in items}
            history = (await house.http.get("/history")).json()
            assert prompt_id in listed or prompt_id in history, frame
            if frame["type"] == "executing" and frame["data"]["node"] is None:
                break
    assert prompt_id in history


async def test_a_client_that_connects_after_the_end_finds_an_empty_queue_and_the_history(
    house: House,
):
    house.accept_all()
    prompt_id = await house.post("me")
    await house.run(prompt_id)
    assert await house.gateway.live.gone([("local", prompt_id)], 30)
    async with house.socket("me") as client:
        first = await client.next()
        assert first["data"]["status"]["exec_info"]["queue_remaining"] == 0
        assert first["data"]["sid"] == "me"
        assert prompt_id in (await house.http.get(f"/history/{prompt_id}")).json()
        assert await client.silent(0.1)


@pytest.mark.covers("R096")
async def test_node_ids_and_large_seeds_come_back_as_they_went_in(house: House):
    house.accept_all()
    shown = {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}}
    graph: dict[str, Any] = {
        **GRAPH,
        **dict.fromkeys(ODD_IDS, shown),
        "seeded": {"class_type": "KSampler", "inputs": {"seed": 2**64 - 1}},
    }
    async with house.socket("me") as client:
        prompt_id = await house.post("me", graph)
        item = (await house.http.get("/queue")).json()["queue_pending"][0]
        assert item[2] == graph
        await house.lease(prompt_id)
        await house.start(prompt_id, cached=ODD_IDS)
        for node_id in ODD_IDS:
            await house.step(prompt_id, node_id, announces=True)
            frames = await client.until("executing", node=node_id)
        await house.finished(prompt_id)
        await house.end(prompt_id)
        await client.until("executing", node=None)
    cached = next(frame for frame in frames if frame["type"] == "execution_cached")
    assert cached["data"]["nodes"] == list(ODD_IDS)

    async def there() -> bool:
        return bool((await house.http.get(f"/history/{prompt_id}")).json())

    await eventually(there)
    text = (await house.http.get(f"/history/{prompt_id}")).text
    assert json.loads(text)[prompt_id]["prompt"][2] == graph
    assert str(2**64 - 1) in text


async def test_every_frame_of_a_run_names_its_prompt_and_no_frame_comes_unasked(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        first = await client.next()
        assert first["type"] == "status"
        assert await client.silent(0.1)
        prompt_id = await house.post("me")
        await house.run(prompt_id)
        frames = await client.until("executing", node=None)
    for frame in frames:
        assert set(frame) == {"type", "data", "seq"}
        if frame["type"] != "status":
            assert frame["data"]["prompt_id"] == prompt_id


async def test_a_prompt_without_a_client_is_told_to_nobody(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        await client.next()
        await house.run(await house.post())
        counts: list[int] = []
        while len(counts) < 3:
            frame = await client.next()
            assert frame["type"] == "status"
            counts.append(frame["data"]["status"]["exec_info"]["queue_remaining"])
            if counts[-1] == 0:
                break
        assert counts[0] == 1
        assert counts[-1] == 0
        assert await client.silent(0.1)


def test_every_route_of_comfyui_is_found_bare_and_under_api():
    app = build_app(cast("Gateway", SimpleNamespace(editor=None)))
    found = {route.path for route in app.routes if isinstance(route, APIRoute)}
    bare = {path for path in found if not path.startswith("/api/")}
    twins = {path.removeprefix("/api") for path in found - bare}
    assert {path for path in twins - bare if not path.startswith(UNDER_API_ONLY)} == set()
    assert {path for path in bare - twins if not path.startswith(BARE_ONLY)} == {"/"}
    assert {"/prompt", "/queue", "/history", "/view", "/object_info", "/userdata"} <= bare & twins
