"""Who is told what, and how often, by the hub of open sockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from services.gateway import away
from services.gateway.away import Away, Places
from services.gateway.domain.frames import Frame, executing
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


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


def places(now: list[float]) -> Places:
    return Places(lambda: now[0])


def test_what_was_sent_long_ago_has_arrived_and_what_was_sent_of_late_perhaps(now: list[float]):
    told = places(now)
    for place in (5, 7, 9):
        told.told(place)
        now[0] += away.DOUBT_SECONDS / 2
    assert (told.certain, told.last) == (7, 9)
    now[0] += away.DOUBT_SECONDS
    assert (told.certain, told.last) == (9, 9)


def test_whoever_comes_back_goes_on_where_it_was_once_and_not_too_late(now: list[float]):
    left = Away(lambda: now[0])
    for name in ("early", "late"):
        left.left(ANN, name, 7)
    assert left.place_of(EVE, "early") is None
    assert left.place_of(ANN, "early") == 7
    assert left.place_of(ANN, "early") is None
    now[0] += away.KEPT_SECONDS + 1
    assert left.place_of(ANN, "late") is None


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(away, "KEPT_MAX", 2)
    left = Away()
    for number in range(3):
        left.left(ANN, f"{number}", 7)
    assert [left.place_of(ANN, f"{number}") for number in range(3)] == [None, 7, 7]


def test_a_client_that_parts_with_frames_in_its_line_has_not_heard_them(hub: Hub):
    socket = hub.join(ANN, "mine")
    socket.stand(5, None)
    socket.tell(Frame("execution_start", {}, 7))
    socket.parted = True
    assert socket.heard == 5
    hub.leave(socket)
    assert hub.away.place_of(ANN, "mine") == 5


def test_a_client_that_is_replaced_may_not_have_heard_the_last(hub: Hub):
    hub.join(ANN, "mine").stand(5, since=3)
    hub.join(ANN, "mine")
    assert hub.away.place_of(ANN, "mine") == 3
