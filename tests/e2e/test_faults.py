"""kill -9 in the middle of work: every accepted prompt ends once and is charged once or not."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.chaos.checker.evidence import Receipt, end_of
from tests.chaos.checker.gathering import Account, addresses_of, gather, until_quiet
from tests.chaos.checker.inspection import inspect
from tests.chaos.processes import pids_of
from tests.e2e.houses import House, house, wait_until
from tests.e2e.watching import Watcher, submit, tiny_graph

LOCAL = Account("local", "local", {})
PROMPTS = 60
SETTLED_SECONDS_MAX = 120


@pytest.fixture(scope="module")
def fault_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("faults") / "home"
    with house(home, STUDIO_LEASE_SECONDS="5", STUDIO_HEARTBEAT_SECONDS="0.5") as running:
        yield running


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def submit_through_the_fault(target: House, strike: Callable[[], None]) -> list[Receipt]:
    """Submit PROMPTS prompts with keys of our own, retrying like a client; strike meanwhile."""
    accepted = []
    with httpx.Client(base_url=target.url, timeout=20) as api:
        for number in range(PROMPTS):
            if number == PROMPTS // 3:
                threading.Thread(target=strike).start()
            accepted.append(_submit_until_answered(api, number))
    return accepted


def _submit_until_answered(api: httpx.Client, number: int) -> Receipt:
    deadline = time.monotonic() + 60
    receipt = _receipt(uuid.uuid4().hex)
    body = {"prompt": tiny_graph(number), "client_id": receipt.client_id}
    while time.monotonic() < deadline:
        try:
            answer = api.post("/prompt", json=body, headers={"Idempotency-Key": receipt.client_id})
        except httpx.HTTPError:
            receipt.answers.append(0)
            time.sleep(0.2)
            continue
        receipt.answers.append(answer.status_code)
        if answer.status_code == 200:
            receipt.prompt_ids.append(answer.json()["prompt_id"])
            return receipt
        assert answer.status_code == 503, answer.text
        time.sleep(0.2)
    raise AssertionError("the house did not come back")


def _receipt(client_id: str) -> Receipt:
    return Receipt(client_id, LOCAL.tenant, LOCAL.user, "quick", keyed=True, sent_at=time.time())


def accepted_on(watcher: Watcher, prompt_id: str) -> list[Receipt]:
    """Return the receipt of the one prompt that was submitted with a watcher's id."""
    receipt = _receipt(watcher.client_id)
    receipt.answers, receipt.prompt_ids = [200], [prompt_id]
    return [receipt]


def assert_all_settled(target: House, accepted: list[Receipt]) -> list[str]:
    """Wait until nothing is open any more, let the checker look, and return all outcomes."""
    where = addresses_of(target.home)
    asyncio.run(until_quiet(where, accepted, SETTLED_SECONDS_MAX))
    evidence = asyncio.run(gather(where, accepted, [LOCAL]))
    assert inspect(evidence) == []
    stories = [evidence.stories[LOCAL.tenant, receipt.prompt_id] for receipt in accepted]
    return [end.data["outcome"] for story in stories if (end := end_of(story))]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_services_are_killed_in_the_middle_of_sixty_prompts(fault_house: House):
    accepted = submit_through_the_fault(fault_house, lambda: kill(fault_house.pid_of("house")))
    assert set(assert_all_settled(fault_house, accepted)) == {"succeeded"}


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_worker_is_killed_in_the_middle_of_sixty_prompts(fault_house: House):
    accepted = submit_through_the_fault(fault_house, lambda: kill(fault_house.pid_of("gpu_worker")))
    assert set(assert_all_settled(fault_house, accepted)) == {"succeeded"}


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", ["nats", "postgres", "s3"])
def test_a_server_is_killed_in_the_middle_of_sixty_prompts(fault_house: House, server: str):
    def strike() -> None:
        kill(pids_of(server, [fault_house.process.pid])[0])

    accepted = submit_through_the_fault(fault_house, strike)
    assert set(assert_all_settled(fault_house, accepted)) == {"succeeded"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("who", [pytest.param("worker", marks=pytest.mark.long), "engine"])
def test_a_death_in_the_middle_of_a_step_costs_one_attempt_and_nothing_else(
    fault_house: House, demo_graph, who: str
):
    demo_graph["sampler"]["inputs"] |= {"steps": 120, "seed": time.time_ns() % 2**40}
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
    assert assert_all_settled(fault_house, accepted_on(watcher, prompt_id)) == ["succeeded"]
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
    assert assert_all_settled(fault_house, accepted_on(watcher, prompt_id)) == ["succeeded"]


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
    assert assert_all_settled(fault_house, accepted_on(watcher, prompt_id)) == ["cancelled"]
