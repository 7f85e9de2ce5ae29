"""What is done to a house: every process is killed, frozen and restarted, and worse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from tests.chaos import processes, workflows
from tests.chaos.checker.evidence import Receipt
from tests.chaos.customers import Customers
from tests.chaos.ground import LEASE_SECONDS, LOCAL, Ground

FREEZE_SECONDS = (1.5, 3.5)
# Longer than a claim to lead lasts, so that two schedulers believe that they lead.
FREEZE_LEADER_SECONDS = (11.0, 13.0)
ZOMBIE_STEPS = 500
ZOMBIE_SECONDS_MAX = 60.0
RESTART_SECONDS_MAX = 30.0

# Names in commands and tables, and the process behind each.
TARGETS: Mapping[str, str] = {
    "worker": "gpu_worker",
    "engine": "engine",
    "scheduler": "scheduler",
    "gateway": "gateway",
    "validator": "validator",
    "moderation": "moderation",
    "billing": "billing",
    "recorder": "recorder",
    "nats": "nats",
    "postgres": "postgres",
    "s3": "s3",
}


@dataclass(frozen=True)
class Scene:
    """What a fault may use."""

    ground: Ground
    customers: Customers


# A fault prepares itself, says when it strikes, and returns when nothing is left to be done.
Struck: TypeAlias = Callable[[], None]
Fault: TypeAlias = Callable[[Scene, Struck], Awaitable[None]]


async def kill(name: str, scene: Scene, struck: Struck) -> None:
    """End a process at once."""
    pid = await scene.ground.pid(name)
    struck()
    processes.kill(pid)
    await scene.ground.replaced(name, [pid])


async def freeze(name: str, scene: Scene, struck: Struck) -> None:
    """Stop a process in its tracks for seconds, and let it go on as if nothing had been."""
    bounds = FREEZE_LEADER_SECONDS if name == "scheduler" else FREEZE_SECONDS
    seconds = scene.ground.random.uniform(*bounds)
    pid = await scene.ground.pid(name)
    struck()
    frozen = processes.freeze(pid, name)
    try:
        await asyncio.sleep(seconds)
    finally:
        processes.thaw(frozen)


async def restart(name: str, scene: Scene, struck: Struck) -> None:
    """Ask a process to end in good order; it is started again."""
    pid = await scene.ground.pid(name)
    struck()
    processes.stop(pid, name)
    gone = f"{name} ends when it is asked to"
    await scene.ground.until(lambda: not processes.is_alive(pid), gone, RESTART_SECONDS_MAX)
    await scene.ground.replaced(name, [pid])


async def kill_both_schedulers(scene: Scene, struck: Struck) -> None:
    """Leave nobody who leads and nobody who stands by."""
    pids = scene.ground.pids("scheduler")
    struck()
    for pid in pids:
        processes.kill(pid)
    await scene.ground.replaced("scheduler", pids)


async def kill_before_the_answer(scene: Scene, struck: Struck) -> None:
    """Kill the gateway when a submission is on the stream and its 200 is not given.

    The validator is held still, so that the answer cannot be faster than we are.
    """
    ground = scene.ground
    pid, validator = await ground.pid("gateway"), await ground.pid("validator")
    frozen = processes.freeze(validator, "validator")
    try:
        key = ground.random.choice(("Idempotency-Key", "prompt_id"))
        before = len(scene.customers.receipts)
        posting = asyncio.create_task(
            scene.customers.submit(LOCAL, "quick", workflows.quick(), key)
        )
        await asyncio.sleep(0)
        receipt = scene.customers.receipts[before]
        await ground.until_told(partial(_is_submitted, ground, receipt), "the submission is kept")
        struck()
        processes.kill(pid)
    finally:
        processes.thaw(frozen)
    await ground.replaced("gateway", [pid])
    await posting


async def _is_submitted(ground: Ground, receipt: Receipt) -> bool:
    query = "SELECT 1 FROM prompts WHERE client_id = $1"
    return bool(await ground.rows(query, receipt.client_id))


async def zombie(scene: Scene, struck: Struck) -> None:
    """Freeze a worker until its run is leased to another one, then let it go on."""
    ground = scene.ground
    graph = workflows.painted(ZOMBIE_STEPS)
    receipt = await scene.customers.submit(LOCAL, "painted", graph, "prompt_id")
    worker = await ground.until_told(
        partial(_leased_to, ground, receipt, 1), "a lease", ZOMBIE_SECONDS_MAX
    )
    agent = await ground.worker_of(worker)
    struck()
    frozen = processes.freeze(agent, "gpu_worker")
    try:
        await asyncio.sleep(LEASE_SECONDS)
        leased = partial(_leased_to, ground, receipt, 2)
        await ground.until_told(leased, "a lease for somebody else", ZOMBIE_SECONDS_MAX)
    finally:
        processes.thaw(frozen)


async def _leased_to(ground: Ground, receipt: Receipt, attempt: int) -> str:
    """Return the worker of an attempt that is under way, or that was, once it is over."""
    query = "SELECT worker_id, state, attempt FROM prompts WHERE prompt_id = $1"
    for row in await ground.rows(query, receipt.prompt_id):
        if row["state"] == "ended" or row["attempt"] > attempt:
            return row["worker_id"] or "?"
        if row["attempt"] == attempt and row["state"] == "running":
            return str(row["worker_id"])
    return ""


FAULTS: Mapping[str, Fault] = {
    **{f"{name}.kill": partial(kill, process) for name, process in TARGETS.items()},
    **{f"{name}.freeze": partial(freeze, process) for name, process in TARGETS.items()},
    **{f"{name}.restart": partial(restart, process) for name, process in TARGETS.items()},
    "schedulers.kill": kill_both_schedulers,
    "gateway.kill-unanswered": kill_before_the_answer,
    "worker.zombie": zombie,
}
