"""kill -9 in the middle of work: every accepted prompt ends once and is charged once or not."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.checking import check, ended
from tests.e2e.houses import House, house, wait_until
from tests.e2e.watching import Watcher, submit, tiny_graph

PROMPTS = 60
SETTLED_SECONDS_MAX = 120


@pytest.fixture(scope="module")
def fault_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("faults") / "home"
    with house(home, STUDIO_LEASE_SECONDS="5", STUDIO_HEARTBEAT_SECONDS="0.5") as running:
        yield running


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def submit_through_the_fault(target: House, strike: Callable[[], None]) -> list[str]:
    """Submit PROMPTS prompts with ids of our own, retrying like a client; strike in the middle."""
    accepted = []
    with httpx.Client(base_url=target.url, timeout=20) as api:
        for number in range(PROMPTS):
            if number == PROMPTS // 3:
                threading.Thread(target=strike).start()
            accepted.append(_submit_until_answered(api, number))
    return accepted


def _submit_until_answered(api: httpx.Client, number: int) -> str:
    deadline = time.monotonic() + 60
    key = f"{time.time_ns()}-{number}"
    while time.monotonic() < deadline:
        try:
            answer = api.post(
                "/prompt",
                json={"prompt": tiny_graph(number)},
                headers={"Idempotency-Key": key},
            )
        except httpx.HTTPError:
            time.sleep(0.2)
            continue
        if answer.status_code == 200:
            return str(answer.json()["prompt_id"])
        assert answer.status_code == 503, answer.text
        time.sleep(0.2)
    raise AssertionError("the house did not come back")


def assert_all_settled(target: House, accepted: list[str]) -> None:
    assert len(set(accepted)) == len(accepted)
    wait_until(
        lambda: ended(target.home, accepted), SETTLED_SECONDS_MAX, "all prompts end", pause=0.5
    )
    report = check(target.home, accepted)
    assert report.clean, report


@pytest.mark.timeout(300)
def test_the_services_are_killed_in_the_middle_of_sixty_prompts(fault_house: House):
    accepted = submit_through_the_fault(fault_house, lambda: kill(fault_house.pid_of("house")))
    assert_all_settled(fault_house, accepted)


@pytest.mark.timeout(300)
def test_the_worker_is_killed_in_the_middle_of_sixty_prompts(fault_house: House):
    accepted = submit_through_the_fault(fault_house, lambda: kill(fault_house.pid_of("gpu_worker")))
    assert_all_settled(fault_house, accepted)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", ["nats", "postgres"])
def test_a_server_is_killed_in_the_middle_of_sixty_prompts(fault_house: House, server: str):
    def strike() -> None:
        pids = [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _is_server(entry, server, fault_house)
        ]
        kill(min(pids))

    accepted = submit_through_the_fault(fault_house, strike)
    assert_all_settled(fault_house, accepted)


def _is_server(entry: Path, server: str, target: House) -> bool:
    try:
        words = (entry / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    program = {"nats": "nats-server", "postgres": "bin/postgres"}[server]
    return program in words and str(target.home) in words


@pytest.mark.timeout(300)
@pytest.mark.parametrize("who", ["worker", "engine"])
def test_a_death_in_the_middle_of_a_step_costs_one_attempt_and_nothing_else(
    fault_house: House, demo_graph, who: str
):
    demo_graph["sampler"]["inputs"] |= {"steps": 400, "seed": time.time_ns() % 2**40}
    with fault_house.client() as api, Watcher(fault_house) as watcher:
        prompt_id = submit(api, demo_graph, watcher.client_id)
        while True:
            frame = watcher.read()
            if frame["type"] == "progress" and frame["data"]["value"] > 3:
                break
        kill(fault_house.pid_of("gpu_worker") if who == "worker" else fault_house.engine_pid())
        frames = watcher.until_end(prompt_id)
        assert "execution_error" not in {f["type"] for f in frames}
        row = api.get(f"/history/{prompt_id}").json()[prompt_id]
        assert row["status"]["status_str"] == "success"
    assert_all_settled(fault_house, [prompt_id])
    story = fault_house.studio("story", prompt_id).stdout
    assert "attempt=2" in story


@pytest.mark.timeout(300)
def test_a_frozen_worker_that_wakes_up_late_delivers_and_bills_nothing(
    fault_house: House, demo_graph
):
    demo_graph["sampler"]["inputs"] |= {"steps": 200, "seed": time.time_ns() % 2**40}
    with fault_house.client() as api, Watcher(fault_house) as watcher:
        prompt_id = submit(api, demo_graph, watcher.client_id)
        while watcher.read()["type"] != "progress":
            pass
        frozen = fault_house.pid_of("gpu_worker")
        os.kill(frozen, signal.SIGSTOP)
        try:
            wait_until(
                lambda: "LeaseExpired" in fault_house.studio("story", prompt_id).stdout,
                30,
                "the silent worker loses its lease",
                pause=0.5,
            )
        finally:
            os.kill(frozen, signal.SIGCONT)
        watcher.until_end(prompt_id)
    assert_all_settled(fault_house, [prompt_id])


def test_cancelling_ends_a_running_prompt_and_costs_nothing(fault_house: House, demo_graph):
    demo_graph["sampler"]["inputs"] |= {"steps": 2_000, "seed": time.time_ns() % 2**40}
    with fault_house.client() as api, Watcher(fault_house) as watcher:
        prompt_id = submit(api, demo_graph, watcher.client_id)
        while watcher.read()["type"] != "progress":
            pass
        assert api.post("/interrupt", json={"prompt_id": prompt_id}).status_code == 200
        frames = watcher.until_end(prompt_id)
        assert "execution_interrupted" in {f["type"] for f in frames}
        row = api.get(f"/history/{prompt_id}").json()[prompt_id]
        assert row["status"]["status_str"] == "error"
        assert row["status"]["completed"] is False
    wait_until(lambda: ended(fault_house.home, [prompt_id]), 20, "the money is settled")
    assert check(fault_house.home, [prompt_id]).outcomes == {"cancelled": 1}
