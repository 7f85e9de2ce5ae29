"""What a WebSocket client hears, frame by frame, in the order of ComfyUI."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.gateway.house import House, open_house


def told(frames: list[dict[str, Any]]) -> list[str]:
    """Return frames as short words."""
    return [_word(frame) for frame in frames]


def _word(frame: dict[str, Any]) -> str:
    data = frame["data"]
    match frame["type"]:
        case "status":
            return f"status {data['status']['exec_info']['queue_remaining']}"
        case "executing" | "executed":
            return f"{frame['type']} {data['node']}"
        case "progress":
            return f"progress {data['node']} {data['value']}/{data['max']}"
        case "progress_state":
            nodes = data["nodes"].items()
            return "state " + " ".join(f"{node}={info['state']}" for node, info in nodes)
    return str(frame["type"])


@pytest.mark.covers("R185", "R208", "R209", "R210", "R211", "R212")
async def test_a_normal_run_is_told_in_the_order_of_comfyui(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        await client.until("status")
        prompt_id = await house.post("me")
        await house.lease(prompt_id)
        await house.start(prompt_id)
        await house.step(prompt_id, "2", announces=True, total=2)
        await house.step(prompt_id, "2", value=1, total=2)
        await house.step(prompt_id, "2", value=2, total=2)
        await house.step(prompt_id, "2", "finished", value=2, total=2)
        await house.step(prompt_id, "3", announces=True)
        output = await house.output(prompt_id)
        await house.node_done(prompt_id, output)
        await house.step(prompt_id, "3", "finished", value=1)
        await house.release(prompt_id, output)
        await house.finished(prompt_id)
        await house.end(prompt_id)
        frames = await client.until("executing", node=None)
        assert await client.silent()
    assert told(frames) == [
        "status 0",
        "status 1",
        "status 1",
        "execution_start",
        "execution_cached",
        "state 2=running",
        "executing 2",
        "state 2=running",
        "progress 2 1/2",
        "state 2=running",
        "progress 2 2/2",
        "state 2=finished",
        "state 2=finished 3=running",
        "executing 3",
        "executed 3",
        "state 2=finished 3=finished",
        "execution_complete",
        "execution_success",
        "status 0",
        "executing None",
    ]
    assert frames[0]["data"]["sid"] == "me"
    assert all(f["data"]["prompt_id"] == prompt_id for f in frames if f["type"] != "status")
    executed = next(frame for frame in frames if frame["type"] == "executed")
    image = {"filename": "x_3_00000_.png", "subfolder": "", "type": "output"}
    assert executed["data"]["output"] == {"images": [image]}
    assert executed["seq"] > 0


async def test_whoever_hears_the_end_finds_the_row_in_the_history(engine: AsyncEngine):
    async with open_house(engine, recording=False) as house:
        house.accept_all()
        async with house.socket("me") as client:
            prompt_id = await house.post("me")
            output = await house.run(prompt_id)
            await client.until("executing", node="3")
            # Everything happened, but nothing is committed: nobody may say that it is over.
            assert (await house.http.get("/prompt")).json()["exec_info"]["queue_remaining"] == 1
            assert len((await house.http.get("/queue")).json()["queue_running"]) == 1
            await asyncio.sleep(0.5)
            assert (await house.http.get(f"/history/{prompt_id}")).json() == {}
            assert "executed" not in {frame["type"] for frame in client.frames}
            house.record()
            await client.until("executed")
            view = await house.http.get("/view", params={"filename": output.filename})
            assert view.status_code == 200
            await client.until("execution_complete")
            assert prompt_id in (await house.http.get(f"/history/{prompt_id}")).json()
            frames = await client.until("executing", node=None)
    assert told(frames)[-5:-1] == [
        "state 2=finished 3=finished",
        "execution_complete",
        "execution_success",
        "status 0",
    ]


async def test_a_hundred_ends_are_all_in_the_history_when_they_are_told(house: House):
    house.accept_all()
    missing: list[str] = []

    async def one(name: str) -> None:
        async with house.socket(name) as client:
            prompt_id = await house.post(name)
            await house.run(prompt_id)
            await client.until("execution_complete")
            if prompt_id not in (await house.http.get(f"/history/{prompt_id}")).json():
                missing.append(prompt_id)

    for batch in range(10):
        await asyncio.gather(*(one(f"{batch}-{place}") for place in range(10)))
    assert missing == []
    assert (await house.http.get("/prompt")).json()["exec_info"]["queue_remaining"] == 0


async def test_a_lost_recorded_signal_only_costs_a_moment(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
):
    async with open_house(engine) as house:

        async def lost(_subject: str, _data: bytes) -> None:
            return None

        monkeypatch.setattr(house.bus, "signal", lost)
        house.accept_all()
        async with house.socket("me") as client:
            prompt_id = await house.post("me")
            await house.run(prompt_id)
            await client.until("executing", node=None)
            assert prompt_id in (await house.http.get("/history")).json()


async def test_cached_nodes_are_named_and_never_announced(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        prompt_id = await house.post("me")
        await house.lease(prompt_id)
        await house.start(prompt_id, cached=("1", "2", "3"))
        output = await house.output(prompt_id)
        await house.node_done(prompt_id, output)
        await house.step(prompt_id, "3", "finished", value=1)
        await house.release(prompt_id, output)
        await house.finished(prompt_id)
        await house.end(prompt_id)
        frames = await client.until("executing", node=None)
    assert told(frames)[-7:] == [
        "execution_cached",
        "executed 3",
        "state 3=finished",
        "execution_complete",
        "execution_success",
        "status 0",
        "executing None",
    ]
    cached = next(frame for frame in frames if frame["type"] == "execution_cached")
    assert cached["data"]["nodes"] == ["1", "2", "3"]


@pytest.mark.covers("R213")
async def test_a_failure_is_told_with_the_node_and_the_reason(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        prompt_id = await house.post("me")
        await house.lease(prompt_id)
        await house.start(prompt_id)
        await house.step(prompt_id, "2", announces=True)
        await house.failed(prompt_id)
        await house.end(prompt_id, "failed")
        frames = await client.until("executing", node=None)
        entry = (await house.http.get("/history")).json()[prompt_id]
    assert told(frames)[-4:] == ["executing 2", "execution_error", "status 0", "executing None"]
    data = frames[-3]["data"]
    assert data.pop("timestamp") > 0
    assert data == {
        "prompt_id": prompt_id,
        "node_id": "2",
        "node_type": "EmptyImage",
        "executed": ["1"],
        "exception_message": "out of paint",
        "exception_type": "PaintError",
        "traceback": ["line 1\n"],
        "current_inputs": {"width": ["64"]},
        "current_outputs": [],
    }
    assert entry["status"]["status_str"] == "error"
    assert entry["status"]["completed"] is False


async def test_a_stopped_run_is_told_as_interrupted(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        prompt_id = await house.post("me")
        await house.lease(prompt_id)
        await house.start(prompt_id)
        await house.step(prompt_id, "2", announces=True)
        await house.interrupted(prompt_id)
        await house.end(prompt_id, "cancelled")
        frames = await client.until("executing", node=None)
    words = ["executing 2", "execution_interrupted", "status 0", "executing None"]
    assert told(frames)[-4:] == words
    assert frames[-3]["data"]["node_id"] == "2"
    assert frames[-3]["data"]["executed"] == ["1"]


async def test_a_prompt_cancelled_before_it_ran_is_told_by_the_queue_alone(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        prompt_id = await house.post("me")
        await house.end(prompt_id, "cancelled", attempt=0)
        while len(client.frames) < 3:
            await client.next()
        assert await client.silent()
        assert (await house.http.get("/history")).json() == {}
    assert told(client.frames) == ["status 0", "status 1", "status 0"]


async def test_a_withheld_picture_is_told_as_content_blocked(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        prompt_id = await house.post("me")
        await house.lease(prompt_id)
        await house.start(prompt_id)
        output = await house.output(prompt_id)
        await house.step(prompt_id, "3", announces=True)
        await house.node_done(prompt_id, output)
        await house.block(prompt_id, output)
        await house.finished(prompt_id)
        await house.end(prompt_id, "blocked")
        frames = await client.until("executing", node=None)
        view = await house.http.get("/view", params={"filename": output.filename})
    assert "executed 3" not in told(frames)
    error = next(frame["data"] for frame in frames if frame["type"] == "execution_error")
    assert error["exception_type"] == "ContentBlocked"
    assert "nudity" in error["exception_message"]
    assert view.status_code == 404


async def test_two_output_nodes_wait_for_all_of_their_files(house: House):
    house.accept_all()
    async with house.socket("me") as client:
        prompt_id = await house.post("me")
        await house.lease(prompt_id)
        await house.start(prompt_id)
        await house.step(prompt_id, "3", announces=True)
        first = [await house.output(prompt_id, "3", index) for index in (0, 1)]
        await house.node_done(prompt_id, *first, ui={"text": ["done"]})
        await house.step(prompt_id, "4", announces=True)
        second = await house.output(prompt_id, "4")
        await house.node_done(prompt_id, second, node_id="4")
        await house.release(prompt_id, second, "4")
        await house.release(prompt_id, first[1])
        await house.block(prompt_id, first[0])
        await house.finished(prompt_id, 3)
        await house.end(prompt_id)
        frames = await client.until("executing", node=None)
    assert [word for word in told(frames) if word.startswith("execut")] == [
        "execution_start",
        "execution_cached",
        "executing 3",
        "executed 3",
        "executing 4",
        "executed 4",
        "execution_complete",
        "execution_success",
        "executing None",
    ]
    shown = next(frame["data"]["output"] for frame in frames if told([frame]) == ["executed 3"])
    assert [image["filename"] for image in shown["images"]] == ["x_3_00001_.png"]
    assert shown["text"] == ["done"]


async def test_lost_and_late_signals_change_nothing_but_a_little_time(engine: AsyncEngine):
    async with open_house(engine, signal_wait_seconds=0.2) as house:
        house.accept_all()
        async with house.socket("me") as client:
            prompt_id = await house.post("me")
            await house.lease(prompt_id)
            await house.start(prompt_id)
            house.orders[prompt_id] = 2  # The announcement of node 2 is lost.
            await house.step(prompt_id, "2", value=1, total=2)
            await client.until("progress")
            house.orders[prompt_id] = 1
            await house.step(prompt_id, "2", announces=True, total=2)  # It comes after its turn.
            house.orders[prompt_id] = 3
            await house.step(prompt_id, "2", "finished", value=2, total=2)
            output = await house.output(prompt_id)
            await house.node_done(prompt_id, output)
            await house.release(prompt_id, output)
            await house.finished(prompt_id)
            await house.end(prompt_id)
            frames = await client.until("executing", node=None)
    words = told(frames)
    assert words[words.index("execution_cached") + 1 :] == [
        "state 2=running",
        "executing 2",
        "state 2=running",
        "progress 2 1/2",
        "state 2=finished",
        "state 2=finished 3=running",
        "executing 3",
        "executed 3",
        "execution_complete",
        "execution_success",
        "status 0",
        "executing None",
    ]


async def test_a_client_that_comes_late_learns_where_its_prompt_is(house: House):
    house.accept_all()
    prompt_id = await house.post("me")
    await house.lease(prompt_id)
    await house.start(prompt_id)
    await house.step(prompt_id, "2", announces=True)
    await asyncio.sleep(0.05)
    async with house.socket("me") as client:
        frames = await client.until("executing")
    assert told(frames) == ["status 1", "state 2=running", "executing 2"]
    assert frames[-1]["data"]["prompt_id"] == prompt_id


async def test_frames_go_only_to_the_client_of_the_prompt(house: House):
    house.accept_all()
    async with house.socket("me") as mine, house.socket("other") as other:
        prompt_id = await house.post("me")
        nobodys = await house.post("")
        await house.run(prompt_id)
        await house.run(nobodys)
        await mine.until("executing", node=None)
        while told(other.frames)[-2:] != ["status 1", "status 0"]:
            await other.next()
        assert await other.silent()
    assert {frame["type"] for frame in other.frames} == {"status"}


async def test_a_second_socket_of_the_same_client_replaces_the_first(house: House):
    house.accept_all()
    async with house.socket("me") as first, house.socket("me") as second:
        prompt_id = await house.post("me")
        await house.run(prompt_id)
        await second.until("executing", node=None)
        await first.socket.wait_closed()
    assert first.socket.close_code == 1013


async def test_feature_flags_are_answered_and_nonsense_is_not(house: House):
    async with house.socket("me") as client:
        await client.until("status")
        await client.socket.send("{nonsense")
        await client.socket.send(b"\x00\x01")
        await client.socket.send('{"type": "feature_flags", "data": {}}')
        frames = await client.until("feature_flags")
        assert frames[-1]["data"]["assets"] is False
        assert frames[-1]["data"]["max_upload_size"] == 20 * 1024 * 1024


async def test_a_server_names_the_client_that_does_not_name_itself(house: House):
    async with house.socket("") as client:
        frames = await client.until("status")
    assert len(frames[0]["data"]["sid"]) == 32
