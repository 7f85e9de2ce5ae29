"""A full log, a full disk, a full S3: 503 while it is so, and nothing lost once there is room."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest

from tests.e2e.disks import small_disk
from tests.e2e.houses import ROOT, House, house, wait_until
from tests.e2e.letters import nats_url
from tests.e2e.settling import check, ended
from tests.e2e.watching import Watcher, submit, tiny_graph

PICTURE = (ROOT / "tests/fidelity/reference/c_cfg1.0.png").read_bytes()
SETTLED_SECONDS_MAX = 180
SMALL = {"STUDIO_EVENTS_MAX_MIB": "64"}


def ask(api: httpx.Client, number: int, key: str, noise_bytes: int = 0) -> httpx.Response:
    """Hand in one prompt with a key; `noise_bytes` make its event larger."""
    body: dict[str, Any] = {"prompt": tiny_graph(number)}
    if noise_bytes:
        body["extra_data"] = {"noise": os.urandom(noise_bytes // 2).hex()}
    return api.post("/prompt", json=body, headers={"Idempotency-Key": key})


def assert_for_want_of_room(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["error"]["message"]


def until_accepted(api: httpx.Client, number: int, key: str) -> str:
    """Send the same again, as a client would, until it is accepted."""
    deadline = time.monotonic() + SETTLED_SECONDS_MAX
    while time.monotonic() < deadline:
        answer = ask(api, number, key)
        if answer.status_code == 200:
            return str(answer.json()["prompt_id"])
        assert_for_want_of_room(answer)
        time.sleep(0.5)
    raise AssertionError("the house did not come back")


def upload(api: httpx.Client, name: str) -> httpx.Response:
    return api.post("/upload/image", files={"image": (name, PICTURE)})


def assert_all_succeeded(target: House, accepted: list[str]) -> None:
    assert len(set(accepted)) == len(accepted)
    wait_until(
        lambda: ended(target.home, accepted), SETTLED_SECONDS_MAX, "all prompts end", pause=0.5
    )
    report = check(target.home, accepted)
    assert report.clean, report
    assert report.outcomes == {"succeeded": len(accepted)}


async def _log_takes(url: str, max_bytes: int) -> None:
    client = await nats.connect(url)
    try:
        stream = client.jetstream()
        config = (await stream.stream_info("EVENTS")).config
        await stream.update_stream(config, max_bytes=max_bytes)
    finally:
        await client.close()


async def _log_bytes(url: str) -> int:
    client = await nats.connect(url)
    try:
        return int((await client.jetstream().stream_info("EVENTS")).state.bytes)
    finally:
        await client.close()


@pytest.mark.long
@pytest.mark.timeout(500)
def test_a_full_log_refuses_prompts_until_it_may_grow(tmp_path: Path, demo_graph: dict[str, Any]):
    demo_graph["sampler"]["inputs"] |= {"steps": 200, "seed": 7}
    with house(tmp_path / "home", **SMALL) as running, running.client() as api:
        url = nats_url(running.home)
        with Watcher(running) as watcher:
            executing = submit(api, demo_graph, watcher.client_id)
            while watcher.read()["type"] != "progress":
                pass
        asyncio.run(_log_takes(url, asyncio.run(_log_bytes(url)) + 1_000))
        assert_for_want_of_room(ask(api, 1, "a", noise_bytes=20_000))
        assert_for_want_of_room(ask(api, 2, "b", noise_bytes=20_000))
        unkeyed = api.post("/prompt", json={"prompt": tiny_graph(3)})
        assert_for_want_of_room(unkeyed)
        asyncio.run(_log_takes(url, 64 * 1024 * 1024))
        accepted = [executing, *(until_accepted(api, n, key) for n, key in enumerate("abc"))]
        assert_all_succeeded(running, accepted)
        assert json.loads(api.get("/queue").text)["queue_pending"] == []


@pytest.mark.timeout(500)
def test_a_full_disk_under_the_log_is_waited_out(tmp_path: Path, demo_graph: dict[str, Any]):
    demo_graph["sampler"]["inputs"] |= {"steps": 200, "seed": 8}
    home = tmp_path / "home"
    with (
        small_disk(home / "nats" / "data", "2g") as disk,
        house(home, **SMALL) as running,
        running.client() as api,
    ):
        with Watcher(running) as watcher:
            executing = submit(api, demo_graph, watcher.client_id)
            while watcher.read()["type"] != "progress":
                pass
        disk.fill()
        for number, key in enumerate("ab"):
            assert_for_want_of_room(ask(api, number, key, noise_bytes=20_000))
        ready = api.get("/readyz")
        assert ready.status_code == 503
        assert [why for why in ready.json()["missing"] if why.startswith("bus: ")]
        disk.free()
        accepted = [executing, *(until_accepted(api, n, key) for n, key in enumerate("abc"))]
        assert api.get("/readyz").status_code == 200
        assert_all_succeeded(running, accepted)


@pytest.mark.long
@pytest.mark.timeout(500)
def test_a_full_disk_under_s3_is_waited_out(tmp_path: Path):
    home = tmp_path / "home"
    with (
        small_disk(home / "s3" / "data", "4g") as disk,
        house(home, **SMALL) as running,
        running.client() as api,
    ):
        with Watcher(running) as watcher:
            watcher.until_end(submit(api, tiny_graph(), watcher.client_id))
        disk.fill()
        assert_for_want_of_room(upload(api, "no-room.png"))
        accepted = [until_accepted(api, number, f"s3-{number}") for number in range(5)]
        disk.free()
        wait_until(
            lambda: upload(api, "room.png").status_code == 200,
            SETTLED_SECONDS_MAX,
            "uploads are taken again",
            pause=1,
        )
        assert_all_succeeded(running, accepted)
