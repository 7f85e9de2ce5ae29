"""One prompt as server-sent events: live, from the archive, and for its owner only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.routes import events
from tests.integration.gateway.house import House, eventually, fresh_id, open_house
from tests.integration.gateway.test_gateway_walls import new_key

PATIENCE_SECONDS = 60


@dataclass
class Told:
    """One event, or a comment."""

    event: str
    data: dict[str, Any]
    id: str = ""
    comment: str = ""


async def told_in(response: httpx.Response) -> AsyncIterator[Told]:
    """Read a stream as a browser does."""
    block: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            block[name or "comment"] = value.strip()
        elif block:
            data = json.loads(block.get("data", "{}"))
            yield Told(block.get("event", ""), data, block.get("id", ""), block.get("comment", ""))
            block = {}


async def follow(house: House, prompt_id: str, **headers: str) -> list[Told]:
    """Follow a prompt until the server ends the stream."""
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        house.http.stream("GET", f"/api/jobs/{prompt_id}/events", headers=headers) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return [told async for told in told_in(response) if told.event]


async def listening(house: House) -> None:
    """Wait until somebody listens."""

    async def somebody() -> bool:
        return bool(house.gateway.hub._listeners)

    await eventually(somebody)


ENDED = ["execution_complete", "execution_success", "executing"]


async def test_a_prompt_is_followed_from_the_queue_to_its_end(house: House):
    house.accept_all()
    prompt_id = await house.post()
    following = asyncio.create_task(follow(house, prompt_id))
    await listening(house)
    await house.run(prompt_id)
    found = await following
    assert found[0].event == "job"
    assert (found[0].data["id"], found[0].data["status"]) == (prompt_id, "pending")
    words = [told.event for told in found if told.event != "progress_state"]
    assert words == [
        "job",
        "execution_start",
        "execution_cached",
        "executing",
        "executing",
        "executed",
        *ENDED,
    ]
    ids = [int(told.id) for told in found if told.id]
    assert ids == sorted(set(ids))
    assert len(ids) == 6
    assert found[-1].data["node"] is None
    assert house.gateway.hub._listeners == {}
    assert len(house.gateway.hub) == 0


async def test_a_finished_prompt_is_told_again_and_goes_on_behind_the_last_id(house: House):
    house.accept_all()
    prompt_id = await house.post("me")
    await house.run(prompt_id)

    async def ended() -> bool:
        return bool((await house.http.get(f"/history/{prompt_id}")).json())

    await eventually(ended)
    await house.gateway.live.gone([("local", prompt_id)], 10)
    found = await follow(house, prompt_id)
    assert [told.event for told in found] == [
        "job",
        "execution_start",
        "execution_cached",
        "executed",
        *ENDED,
    ]
    assert found[0].data["status"] == "completed"
    middle = found[3].id
    rest = await follow(house, prompt_id, **{"Last-Event-ID": middle})
    assert rest[1:] == found[4:]
    path = f"/api/jobs/{prompt_id}/events"
    over = await house.http.get(path, headers={"Last-Event-ID": found[-1].id})
    assert over.status_code == 204
    by_query = await house.http.get(f"{path}?lastEventId={found[-1].id}")
    assert by_query.status_code == 204
    head = await house.http.head(path)
    assert head.headers["content-type"].startswith("text/event-stream")


async def test_whoever_is_cut_off_in_the_middle_loses_and_doubles_nothing(house: House):
    house.accept_all()
    prompt_id = await house.post("me")
    path = f"/api/jobs/{prompt_id}/events"
    heard: list[Told] = []
    async with house.http.stream("GET", path) as response:
        await house.lease(prompt_id)
        await house.start(prompt_id)
        async for told in told_in(response):
            heard.append(told)
            if told.event == "execution_start":
                break
    output = await house.output(prompt_id)
    await house.node_done(prompt_id, output)
    await house.release(prompt_id, output)
    last = next(told.id for told in reversed(heard) if told.id)
    following = asyncio.create_task(follow(house, prompt_id, **{"Last-Event-ID": last}))
    await listening(house)
    await house.finished(prompt_id)
    await house.end(prompt_id)
    found = await following
    certain = [told.event for told in (*heard, *found) if told.id]
    assert certain == ["execution_start", "execution_cached", "executed", *ENDED]


async def test_a_prompt_that_is_cancelled_in_the_queue_ends_its_stream(house: House):
    house.accept_all()
    prompt_id = await house.post("me")
    following = asyncio.create_task(follow(house, prompt_id))
    await listening(house)
    await house.end(prompt_id, "cancelled", attempt=0)
    assert [told.event for told in await following] == [
        "job",
        "execution_interrupted",
        "executing",
    ]


async def test_a_silent_stream_says_that_it_lives(house: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.05)
    house.accept_all()
    prompt_id = await house.post("me")
    async with house.http.stream("GET", f"/api/jobs/{prompt_id}/events") as response:
        lines = response.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        async for line in lines:
            if line == ": alive":
                break


async def test_what_is_not_there_or_not_ones_own_is_not_found(engine: AsyncEngine):
    async with open_house(engine, auth="keys") as house:
        house.accept_all()
        ann, eve = await new_key(engine, "acme", "ann"), await new_key(engine, "evil", "eve")
        body = {"prompt": {"1": {"class_type": "PreviewImage", "inputs": {}}}}
        answer = await house.http.post("/prompt", json=body, headers=ann)
        path = f"/api/jobs/{answer.json()['prompt_id']}/events"
        for unknown in (path, f"/api/jobs/{fresh_id()}/events", "/api/jobs/%00/events"):
            found = await house.http.get(unknown, headers=eve)
            assert (found.status_code, found.json()) == (404, {"error": "Job not found"})
        assert (await house.http.get(path)).status_code == 401
        bad = await house.http.get(path, headers={**ann, "Last-Event-ID": "x"})
        assert (bad.status_code, bad.json()["error"]["type"]) == (400, "invalid_number")


async def test_a_stream_for_which_the_last_place_is_taken_ends_without_a_fault(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    house.accept_all()
    prompt_id = await house.post()
    monkeypatch.setattr(events.EventRoutes, "_check_room", lambda _routes: None)
    house.gateway.hub.sockets_max = 0
    assert await follow(house, prompt_id) == []
