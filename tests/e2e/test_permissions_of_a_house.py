"""A whole house works with the rights of its services, and the server has nothing to refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest

from libs.bus.rights import OPERATOR, ROLES
from tests.e2e.houses import House, house, wait_until
from tests.e2e.watching import Watcher, submit, tiny_graph


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("options", "users"),
    [
        pytest.param(("--split",), set(ROLES), id="a process for each service"),
        pytest.param((), {"house", "gpu_worker"}, id="a process for the house"),
    ],
)
async def test_a_house_makes_a_picture_and_is_refused_nothing(
    tmp_path: Path, options: tuple[str, ...], users: set[str]
):
    home = tmp_path / "home"
    with house(home, *options) as running, running.client() as api, Watcher(running) as watcher:
        saved = submit(api, tiny_graph(5, preview=False), watcher.client_id)
        ends = [frame["type"] for frame in watcher.until_end(saved)]
        assert "execution_success" in ends
        cancelled = submit(api, tiny_graph(6), watcher.client_id)
        api.post("/interrupt").raise_for_status()
        watcher.until_end(cancelled)
        assert users_on(running) == users
        assert violations(running) == []
        await overstep(running)
        wait_until(lambda: violations(running), 60, "the server notes what it refuses")


def configuration(running: House) -> dict[str, Any]:
    return dict(json.loads((running.home / "nats" / "nats.conf").read_text()))


def users_on(running: House) -> set[str]:
    """Return the users of all connections; those of the operator are not the services'."""
    address = f"http://{configuration(running)['http']}/connz?auth=1"
    connections = httpx.get(address).json()["connections"]
    return {one["authorized_user"] for one in connections} - {OPERATOR}


def violations(running: House) -> list[str]:
    lines = (running.home / "logs" / "nats.log").read_text().splitlines()
    return [line for line in lines if "violation" in line.lower()]


async def overstep(running: House) -> None:
    """Write a kind with the rights of a service that does not own it."""
    told = configuration(running)
    (billing,) = (one for one in told["authorization"]["users"] if one["user"] == "billing")
    client = await nats.connect(
        f"nats://{told['listen']}", user="billing", password=billing["password"]
    )
    await client.publish("evt.v1.acme.run.p1", b"{}")
    await client.close()
