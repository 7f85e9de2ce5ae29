"""A client that was cut off hears what it missed, once, from whichever gateway it comes to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import websockets
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.chassis.service import Resources
from libs.settings import Settings
from services.gateway import resuming
from services.gateway.auth import LOCAL
from tests.integration.gateway.client import PATIENCE_SECONDS
from tests.integration.gateway.house import House, open_house, open_house_on
from tests.integration.gateway.test_gateway_walls import new_key, token_of

LOSSY = frozenset({"status", "progress", "progress_state", "feature_flags"})


def certain(frames: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Return the frames that may never be lost, as their place and type."""
    return [
        (frame["seq"], frame["type"])
        for frame in frames
        if frame["type"] not in LOSSY
        and not (frame["type"] == "executing" and frame["data"]["node"] is not None)
    ]


async def run_to_output(house: House, prompt_id: str) -> Any:
    """Execute a prompt up to its file, which nobody has judged yet."""
    await house.lease(prompt_id)
    await house.start(prompt_id)
    await house.step(prompt_id, "2", announces=True, total=2)
    await house.step(prompt_id, "2", "finished", value=2, total=2)
    output = await house.output(prompt_id)
    await house.node_done(prompt_id, output)
    return output


async def run_to_end(house: House, prompt_id: str, output: Any) -> None:
    await house.release(prompt_id, output)
    await house.finished(prompt_id)
    await house.end(prompt_id)


@contextlib.asynccontextmanager
async def another_gateway(house: House, engine: AsyncEngine) -> AsyncIterator[House]:
    """Run a second gateway of the same house."""
    resources = Resources(
        bus=house.bus.another("gateway-2"),
        artifacts=house.artifacts,
        database=engine,
        vault=house.vault,
        settings=Settings(),
    )
    async with open_house_on(resources, recording=False) as other:
        yield other


@pytest.mark.covers("R208", "R212")
async def test_a_client_resumes_behind_each_frame_that_it_may_have_heard_last(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        await client.until("status")
        first = await house.post("me")
        output = await run_to_output(house, first)
        await run_to_end(house, first, output)
        await client.until("executing", node=None)
        second = await house.post("me")
        await run_to_end(house, second, await run_to_output(house, second))
        frames = await client.until("executing", node=None, prompt_id=second)
    told = certain(frames)
    assert len(told) == 12
    assert [seq for seq, _ in told] == sorted({seq for seq, _ in told})
    assert all(isinstance(frame["seq"], int) for frame in frames)
    seqs = [frame["seq"] for frame in frames]
    assert seqs == sorted(seqs)
    for seq in sorted({0, frames[0]["seq"], *seqs}):
        async with house.socket("me", since=str(seq)) as again:
            missed = [place for place in told if place[0] > seq]
            await again.until("status")
            for _ in missed:
                await again.next()
            assert await again.silent(0.05)
        assert certain(again.frames) == missed
        assert again.frames[0]["seq"] == seq


@pytest.mark.parametrize("which", ["the same gateway", "another gateway"])
async def test_a_client_that_was_away_in_the_middle_of_a_run_comes_to_the_same_end(
    house: House, engine: AsyncEngine, which: str
):
    house.accept_all()
    async with another_gateway(house, engine) as other:
        async with house.socket("me") as client, house.socket("witness"):
            prompt_id = await house.post("me")
            output = await run_to_output(house, prompt_id)
            await client.until("execution_cached")
        heard = client.frames
        await house.release(prompt_id, output)
        back = house if which == "the same gateway" else other
        since = str(heard[-1]["seq"])
        async with back.socket("me", since=since) as again:
            await again.until("executed")
            await house.finished(prompt_id)
            await house.end(prompt_id)
            frames = await again.until("executing", node=None)
    kinds = [kind for _, kind in certain([*heard, *frames])]
    assert kinds == [
        "execution_start",
        "execution_cached",
        "executed",
        "execution_complete",
        "execution_success",
        "executing",
    ]
    places = [place for place, _ in certain([*heard, *frames])]
    assert places == sorted(set(places))


LIFECYCLE = ["execution_start", "execution_cached", "executed"]
LIFECYCLE += ["execution_complete", "execution_success", "executing"]


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what tells nobody that it happened."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def cut_in_the_middle(house: House, *, page: bool, torn: bool = False) -> list[Any]:
    """Cut a client off when its prompt has begun, come to the end; return what it heard."""
    async with house.socket("me", page=page) as client:
        prompt_id = await house.post("me")
        output = await run_to_output(house, prompt_id)
        await client.until("execution_cached")
        if torn:
            client.socket.transport.abort()
    await until(lambda: not len(house.gateway.hub))
    await run_to_end(house, prompt_id, output)
    await until(lambda: not house.gateway.live.queue.remaining(LOCAL.owner))
    return client.frames


@pytest.mark.covers("R208")
async def test_a_page_that_was_cut_off_comes_to_the_same_end_without_a_word(house: House):
    house.accept_all()
    heard = await cut_in_the_middle(house, page=True)
    async with house.socket("me", page=True) as again:
        frames = await again.until("executing", node=None)
        assert await again.silent()
    assert [kind for _, kind in certain([*heard, *frames])] == LIFECYCLE
    async with house.socket("me", page=True) as once_more:
        await once_more.until("status")
        assert await once_more.silent()


async def test_a_page_whose_line_was_torn_hears_again_what_may_not_have_arrived(house: House):
    house.accept_all()
    await cut_in_the_middle(house, page=True, torn=True)
    async with house.socket("me", page=True) as again:
        frames = await again.until("executing", node=None)
    assert [kind for _, kind in certain(frames)] == LIFECYCLE


@pytest.mark.parametrize("who", ["a program", "another page"])
async def test_nobody_else_hears_unasked_of_what_is_over(house: House, who: str):
    house.accept_all()
    await cut_in_the_middle(house, page=True)
    name = "me" if who == "a program" else "you"
    async with house.socket(name, page=who == "another page") as other:
        await other.until("status")
        assert await other.silent()


async def test_a_page_that_was_away_for_too_much_begins_anew(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(resuming, "PROMPTS_MAX", 0)
    house.accept_all()
    await cut_in_the_middle(house, page=True)
    async with house.socket("me", page=True) as again:
        await again.until("status")
        assert await again.silent()


async def test_a_gateway_that_is_behind_tells_nothing_twice(
    house: House, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
):
    house.accept_all()
    async with another_gateway(house, engine) as other, house.socket("me") as client:
        # It reads the log, but does not know yet what is recorded of it.
        behind = other.gateway.live.telling
        monkeypatch.setattr(behind, "recorded", lambda _seq: None)
        prompt_id = await house.post("me")
        await run_to_end(house, prompt_id, await run_to_output(house, prompt_id))
        frames = await client.until("executing", node=None)
        monkeypatch.undo()
        async with other.socket("me", since=str(frames[-1]["seq"])) as again:
            behind.recorded(house.gateway.live.recorded_seq)
            await again.until("status")
            while not await again.silent():
                pass
        assert certain(again.frames) == []


async def test_two_prompts_of_one_client_are_told_in_the_order_of_the_log(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        one, two = await house.post("me"), await house.post("me")
        slow = await run_to_output(house, one)
        quick = await run_to_output(house, two)
        await run_to_end(house, two, quick)
        await run_to_end(house, one, slow)
        frames = await client.until("executing", node=None, prompt_id=one)
    places = [place for place, _ in certain(frames)]
    assert places == sorted(set(places))
    ends = [f["data"]["prompt_id"] for f in frames if f["type"] == "execution_success"]
    assert ends == [two, one]


async def test_a_failure_and_its_account_are_heard_after_a_reconnect(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        await client.until("status")
        since = client.frames[-1]["seq"]
    prompt_id = await house.post("me")
    await house.lease(prompt_id)
    await house.start(prompt_id)
    await house.failed(prompt_id)
    await house.end(prompt_id, "failed")
    async with house.socket("me", since=str(since)) as again:
        frames = await again.until("executing", node=None)
    error = next(frame["data"] for frame in frames if frame["type"] == "execution_error")
    assert error["exception_message"] == "out of paint"
    assert error["traceback"] == ["line 1\n"]


async def refused(house: House, since: str) -> tuple[int, dict[str, Any]]:
    """Return status and body of the answer to a client that wants to go on from `since`."""
    with pytest.raises(websockets.InvalidStatus) as refusal:
        async with house.socket("me", since=since):
            pass
    response = refusal.value.response
    return response.status_code, json.loads(response.body)["error"]


@pytest.mark.parametrize("since", ["yesterday", "-1", "1.5", "9" * 20])
async def test_a_since_that_is_no_place_is_refused_by_name(house: House, since: str):
    status, error = await refused(house, since)
    assert (status, error["type"], error["details"]) == (400, "invalid_number", "since")
    async with house.socket("me") as client:
        await client.until("status")


async def test_a_since_of_another_log_is_refused(house: House):
    status, error = await refused(house, str(2**52))
    assert (status, error["type"]) == (400, "since_ahead")


async def test_a_since_that_is_too_old_is_told_to_read_the_history(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(resuming, "PROMPTS_MAX", 1)
    house.accept_all()
    async with house.socket("me") as client:
        for _ in range(2):
            prompt_id = await house.post("me")
            await run_to_end(house, prompt_id, await run_to_output(house, prompt_id))
            await client.until("executing", node=None, prompt_id=prompt_id)
    status, error = await refused(house, "0")
    assert (status, error["type"]) == (410, "since_too_old")
    assert "history" in error["message"]
    assert error["extra_info"]["limit"] == 1


async def test_nobody_resumes_what_another_tenant_was_told(engine: AsyncEngine):
    async with open_house(engine, auth="keys") as house:
        house.accept_all()
        ann, eve = await new_key(engine, "acme", "ann"), await new_key(engine, "evil", "eve")
        async with house.socket("me", token=token_of(ann)) as client:
            body = {
                "prompt": {"1": {"class_type": "PreviewImage", "inputs": {}}},
                "client_id": "me",
            }
            answer = await house.http.post("/prompt", json=body, headers=ann)
            prompt_id = answer.json()["prompt_id"]
            await house.lease(prompt_id, tenant="acme")
            await house.start(prompt_id, tenant="acme")
            await house.finished(prompt_id, tenant="acme")
            await house.end(prompt_id, tenant="acme")
            await client.until("executing", node=None)
        async with house.socket("me", token=token_of(eve), since="0") as theirs:
            await theirs.until("status")
            assert await theirs.silent()
        async with house.socket("me", token=token_of(ann), since="0") as mine:
            await mine.until("executing", node=None)
