"""One run of chaos: load all the time, faults by a seeded schedule, a probe after each."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.chaos.checker.evidence import Evidence
from tests.chaos.checker.gathering import gather, until_quiet
from tests.chaos.customers import Customers
from tests.chaos.faults import FAULTS, Scene, Struck
from tests.chaos.ground import Ground

OPEN_MAX = 60
LOOK_SECONDS = 1.0
QUIET_SECONDS_MAX = 180.0
WARM_SECONDS_MAX = 90.0

_OPEN = "SELECT count(*) AS n FROM prompts WHERE state IN ('submitted', 'queued', 'running')"


@dataclass(frozen=True)
class Plan:
    """What is to happen: which faults, how often, in how long, by which seed."""

    seed: int
    seconds: float
    names: Sequence[str]
    rounds: int = 2
    pause_seconds: float = 0.6

    @property
    def schedule(self) -> list[str]:
        """Return the faults in the order in which they strike."""
        order = Random(self.seed)
        rounds = [order.sample(list(self.names), len(self.names)) for _ in range(self.rounds)]
        return [name for one in rounds for name in one]


@dataclass
class Strike:
    """One fault as it happened; times are of the wall clock, as those in events are."""

    fault: str
    began: float = 0.0
    over: float = 0.0
    recovered_seconds: float | None = None
    trouble: str = ""


@dataclass
class Course:
    """What happened in a run, and what was found afterwards."""

    plan: Plan
    strikes: list[Strike] = field(default_factory=list)
    load_seconds: float = 0.0
    quiet_seconds: float = 0.0


async def run(ground: Ground, plan: Plan, step: Callable[[str], None]) -> tuple[Course, Evidence]:
    """Strike by the plan under load, wait until the house has come to rest, gather evidence."""
    customers = Customers(ground.where.api, ground.accounts, ground.payer, Random(plan.seed + 1))
    step("warming up")
    async with asyncio.timeout(WARM_SECONDS_MAX):
        await customers.probe()
    course = Course(plan)
    began = time.monotonic()
    room = _Room(ground)
    load = [
        asyncio.create_task(room.look()),
        asyncio.create_task(customers.keep_coming(plan.pause_seconds, room.is_there)),
    ]
    try:
        await _strike_all(Scene(ground, customers), course, load, step)
    finally:
        for task in load:
            task.cancel()
        await asyncio.gather(*load, return_exceptions=True)
    course.load_seconds = time.monotonic() - began
    step("waiting until the house has come to rest")
    await customers.leave()
    receipts = customers.receipts
    course.quiet_seconds = await until_quiet(ground.where, receipts, QUIET_SECONDS_MAX)
    step("gathering evidence")
    return course, await gather(ground.where, receipts, ground.accounts)


async def _strike_all(
    scene: Scene, course: Course, load: Sequence[asyncio.Task[None]], step: Callable[[str], None]
) -> None:
    schedule = course.plan.schedule
    slot = course.plan.seconds / max(len(schedule), 1)
    began = time.monotonic()
    for number, name in enumerate(schedule):
        step(name)
        course.strikes.append(await _strike(scene, name))
        _still_going(scene, load)
        ahead = began + (number + 1) * slot - time.monotonic()
        await asyncio.sleep(max(ahead, 0.0))


async def _strike(scene: Scene, name: str) -> Strike:
    """Strike, and send a fresh prompt at that very moment to see when it is served."""
    strike = Strike(name, began=time.time())
    moment: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def struck() -> None:
        strike.began = time.time()
        moment.set_result(time.monotonic())

    fault = asyncio.create_task(_guarded(name, scene, struck, strike))
    either: set[asyncio.Future[Any]] = {fault, moment}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if moment.done():
        try:
            await scene.customers.probe()
            strike.recovered_seconds = time.monotonic() - moment.result()
        except TimeoutError as error:
            strike.trouble = str(error)
    await fault
    strike.over = time.time()
    return strike


async def _guarded(name: str, scene: Scene, struck: Struck, strike: Strike) -> None:
    try:
        await FAULTS[name](scene, struck)
    except TimeoutError as error:
        strike.trouble = str(error) or repr(error)


def _still_going(scene: Scene, load: Sequence[asyncio.Task[None]]) -> None:
    for task in load:
        if task.done():
            task.result()
    if scene.ground.house.process.poll() is not None:
        raise RuntimeError("the house ended; its log says why")


class _Room:
    """Says whether customers may go on; a house that is behind is left to catch up."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._open = 0

    def is_there(self) -> bool:
        return self._open < OPEN_MAX

    async def look(self) -> None:
        while True:
            with contextlib.suppress(IndexError):
                self._open = (await self._ground.rows(_OPEN))[0]["n"]
            await asyncio.sleep(LOOK_SECONDS)
