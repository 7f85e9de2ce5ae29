"""Who is told what, and how often, by the hub of open sockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from services.gateway.domain.frames import executing
from services.gateway.hub import STATUS_FRAMES_PER_SECOND, Hub, Socket

ANN, BOB, EVE = ("acme", "ann"), ("acme", "bob"), ("rivals", "eve")
CROWD = 200
WAIT_SECONDS_MAX = 10


@pytest.fixture
def hub() -> Hub:
    return Hub(sockets_max=1000, frames_max=100)


async def frame(socket: Socket) -> dict[str, Any]:
    text = await asyncio.wait_for(socket.next(), WAIT_SECONDS_MAX)
    assert text is not None
    told: dict[str, Any] = json.loads(text)
    return told


async def remaining_in(socket: Socket) -> int:
    told = await frame(socket)
    assert told["type"] == "status"
    count: int = told["data"]["status"]["exec_info"]["queue_remaining"]
    return count


async def test_a_client_hears_of_its_own_prompts_every_time_and_at_once(hub: Hub):
    others = [hub.join(ANN, f"other {number}") for number in range(CROWD)]
    mine = hub.join(ANN, "mine")
    counts = {ANN: 0}
    for counts[ANN] in (1, 1, 2, 1, 0):
        hub.tell_status(ANN, "mine", counts.__getitem__)
    hub.tell(ANN, "mine", [executing("p", None)])
    assert [await remaining_in(mine) for _ in range(5)] == [1, 1, 2, 1, 0]
    assert (await frame(mine))["type"] == "executing"
    assert [await remaining_in(other) for other in others] == [1] * CROWD
    hub.close()


async def test_a_crowd_hears_how_the_last_of_many_changes_left_the_count(hub: Hub):
    crowd = [hub.join(ANN, f"client {number}") for number in range(CROWD)]
    counts = {ANN: 0}
    for counts[ANN] in range(1, 51):
        hub.tell_status(ANN, "", counts.__getitem__)
    for client in crowd:
        assert [await remaining_in(client), await remaining_in(client)] == [1, 50]
    hub.close()


async def test_a_crowd_is_not_told_again_what_it_knows(hub: Hub):
    crowd = [hub.join(ANN, f"client {number}") for number in range(CROWD)]
    count = 1
    for _ in range(3):
        hub.tell_status(ANN, "", lambda _owner: count)
    # Longer than the crowd rests, so the second and third change were looked at.
    await asyncio.sleep(2 * CROWD / STATUS_FRAMES_PER_SECOND)
    count = 2
    hub.tell_status(ANN, "", lambda _owner: count)
    assert [await remaining_in(client) for client in crowd] == [1] * CROWD
    assert [await remaining_in(client) for client in crowd] == [2] * CROWD
    hub.close()


async def test_each_user_of_a_tenant_hears_of_its_own_count_and_other_tenants_of_nothing(hub: Hub):
    ann, bob, eve = hub.join(ANN, "a"), hub.join(BOB, "b"), hub.join(EVE, "e")
    counts = {ANN: 3, BOB: 0}
    hub.tell_status(ANN, "a", counts.__getitem__)
    assert (await remaining_in(ann), await remaining_in(bob)) == (3, 0)
    hub.tell(EVE, "e", [executing("p", None)])
    assert (await frame(eve))["type"] == "executing"
    hub.close()


async def test_whoever_waits_for_a_frame_learns_that_the_socket_was_given_up(hub: Hub):
    socket = hub.join(ANN, "a")
    waiting = asyncio.ensure_future(socket.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    hub.join(ANN, "a")
    assert await asyncio.wait_for(waiting, WAIT_SECONDS_MAX) is None
    assert socket.reason == "replaced by a newer socket"


async def test_a_client_that_lets_frames_pile_up_is_given_up(hub: Hub):
    socket = hub.join(ANN, "a")
    for _ in range(101):
        hub.tell(ANN, "a", [executing("p", "1")])
    assert socket.reason == "too slow"
    assert await socket.next() is None
