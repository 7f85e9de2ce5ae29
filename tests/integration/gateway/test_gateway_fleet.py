"""Figures of the fleet, its log and its memory: for whoever runs the house."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.artifacts.keys import model_metadata_key, model_preview_key
from libs.events.signals import FREE_SUBJECT, Free, Heartbeat, heartbeat_subject
from libs.store.engine import writing
from libs.store.readmodels import api_keys
from libs.telemetry.recent import RECENT, Recent
from tests.integration.gateway.house import House, eventually, open_house
from tests.integration.gateway.test_gateway_walls import new_key

MIB = 1024 * 1024
LOGS = ("/internal/logs", "/internal/logs/raw")


def running(house: House, *parts: Any) -> None:
    """Start parts of the gateway that the house of the tests leaves out."""
    house.tasks += [asyncio.create_task(part()) for part in parts]


async def owner_key(engine: AsyncEngine) -> dict[str, str]:
    """Make the key of whoever runs the house."""
    async with writing(engine) as connection:
        token = await api_keys.add(connection, tenant="acme", user_id="boss", tier="owner")
    return {"Authorization": f"Bearer {token}"}


async def test_system_stats_tell_what_is_free_on_each_worker_now(house: House):
    running(house, house.gateway.fleet.hear)
    await house.register_worker("demo.safetensors")

    async def devices() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await house.http.get("/system_stats")).json()["devices"]
        return found

    async def there() -> bool:
        return len(await devices()) == 1

    await eventually(there)
    assert (await devices())[0]["vram_free"] == MIB
    beat = Heartbeat(worker_id="ada", slot="a", vram_free_mib=0)
    await house.bus.signal(heartbeat_subject("ada"), b"no heartbeat")
    await house.bus.signal(heartbeat_subject("ada"), beat.model_dump_json().encode())

    async def full() -> bool:
        return bool((await devices())[0]["vram_free"] == 0)

    await eventually(full)
    assert (await devices())[0]["vram_total"] == MIB
    system = (await house.http.get("/system_stats")).json()["system"]
    assert 0 < system["ram_free"] < system["ram_total"]
    house.gateway.fleet.clock = lambda: 1e12
    assert (await devices())[0]["vram_free"] == MIB


async def test_whoever_runs_the_house_reads_its_log(house: House):
    RECENT.add("a line of the log")
    assert "a line of the log\n" in (await house.http.get("/internal/logs")).json()
    raw = (await house.http.get("/internal/logs/raw")).json()
    assert raw["entries"][-1]["m"] == "a line of the log\n"
    assert raw["entries"][-1]["t"]
    assert raw["size"] == {"cols": 80, "rows": 24}


async def test_a_log_panel_is_told_of_new_lines_until_it_is_closed(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    running(house, house.gateway.logs.tell)
    house.gateway.logs.recent = recent = Recent()
    recent.add("before")
    async with house.socket("me") as client, house.socket("other") as other:
        await client.until("status")
        await other.until("status")
        path = "/internal/logs/subscribe"
        body = {"clientId": "me", "enabled": True}
        assert (await house.http.patch(path, json=body)).status_code == 200
        recent.add("after")
        frames = await client.until("logs")
        assert [entry["m"] for entry in frames[-1]["data"]["entries"]] == ["after\n"]
        await house.http.patch(path, json={"clientId": "me", "enabled": False})
        recent.add("later")
        assert await client.silent(0.8)
        assert await other.silent(0.05)
        assert (await house.http.patch(path, json={"clientId": 7})).status_code == 400


async def test_a_user_sees_no_line_whatever_it_asks(engine: AsyncEngine):
    async with open_house(engine, auth="keys") as house:
        running(house, house.gateway.logs.tell, house.gateway.fleet.hear)
        ann, boss = await new_key(engine, "acme", "ann"), await owner_key(engine)
        RECENT.add("tenant=evil prompt_id=p")
        for path in LOGS:
            assert "evil" not in (await house.http.get(path, headers=ann)).text
            assert "evil" in (await house.http.get(path, headers=boss)).text
            assert (await house.http.get(path)).status_code == 401
        token = ann["Authorization"].removeprefix("Bearer ")
        async with house.socket("me", token=token) as client:
            await client.until("status")
            body = {"clientId": "me", "enabled": True}
            await house.http.patch("/internal/logs/subscribe", json=body, headers=ann)
            RECENT.add("another line")
            assert await client.silent(0.8)


@contextlib.asynccontextmanager
async def a_worker_hears(house: House) -> AsyncIterator[list[Free]]:
    """Give the wishes that a worker has heard, at the end of the block."""
    signals = house.bus.another("worker").signals(FREE_SUBJECT)
    heard: list[Free] = []
    first = asyncio.ensure_future(anext(signals))
    await asyncio.sleep(0.05)
    yield heard
    await asyncio.sleep(0.1)
    while first.done():
        heard.append(Free.model_validate_json(first.result().data))
        first = asyncio.ensure_future(anext(signals))
        await asyncio.sleep(0.05)
    first.cancel()


@pytest.mark.parametrize(
    ("command", "wish"),
    [
        ({"unload_models": True}, Free(models=True)),
        ({"free_memory": True}, Free(models=True, results=True)),
        ({}, None),
    ],
)
async def test_a_wish_for_memory_reaches_the_workers(
    house: House, command: dict[str, bool], wish: Free | None
):
    async with a_worker_hears(house) as heard:
        assert (await house.http.post("/free", json=command)).status_code == 200
    assert heard == ([wish] if wish else [])


async def test_a_user_frees_nobody_elses_memory(engine: AsyncEngine):
    async with open_house(engine, auth="keys") as house:
        ann, boss = await new_key(engine, "acme", "ann"), await owner_key(engine)
        async with a_worker_hears(house) as heard:
            for headers in (ann, boss):
                answer = await house.http.post("/free", json={"free_memory": True}, headers=headers)
                assert answer.status_code == 200
        assert len(heard) == 1


async def test_a_model_file_has_a_picture_and_the_texts_of_its_header(house: House):
    await house.register_worker("demo.safetensors")
    facts = ("checkpoints", "demo.safetensors", 1, 1)
    preview = "/api/experiment/models/preview/checkpoints/0/demo.safetensors"
    texts = "/view_metadata/checkpoints?filename=demo.safetensors"

    async def listed() -> bool:
        return (await house.http.get("/experiment/models/checkpoints")).status_code == 200

    await eventually(listed)
    for path in (preview, texts):
        assert (await house.http.get(path)).status_code == 404
    await house.artifacts.put(model_preview_key(*facts), b"webp", "image/webp")
    await house.artifacts.put(model_metadata_key(*facts), b'{"a": "b"}', "application/json")
    picture = await house.http.get(preview)
    assert (picture.content, picture.headers["content-type"]) == (b"webp", "image/webp")
    assert (await house.http.get(texts)).json() == {"a": "b"}
    for path in (preview.replace("/0/", "/1/"), texts.replace("demo", "other")):
        assert (await house.http.get(path)).status_code == 404
