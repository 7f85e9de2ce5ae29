"""One story per seed: clients, processes and faults in virtual time, and then a calm end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from random import Random
from unittest import mock

import structlog

import libs.bus.memory
import services.gateway.admission
from libs.artifacts.memory import MemoryArtifacts
from libs.events.base import Event
from libs.events.envelope import Recorded
from tests.chaos.seeded import clock, programs
from tests.chaos.seeded.checker import open_business
from tests.chaos.seeded.clients import Wish, pursue, wishes
from tests.chaos.seeded.processes import Ground, Process
from tests.chaos.seeded.stores import Models
from tests.chaos.seeded.stream import RestlessWorld, Try
from tests.chaos.seeded.weather import Weather
from tests.chaos.seeded.wire import Wire, WiredBus

STORM_SECONDS = 45.0
# Every wait of the house fits in: three leases that fall silent, redelivery, the bounds of asks.
CALM_SECONDS = 400.0
# Longer than the ack wait, so that whatever was not acked has come again.
QUIET_SECONDS = 45.0
# What has not moved for so long in the calm never will.
STUCK_SECONDS = 120.0
UNEXPECTED = frozenset({"work_failed", "lane broke", "cannot_be_written"})


@dataclass
class Told:
    """A story when it is over: all that an auditor may look at."""

    seed: int
    recorded: list[Recorded[Event]]
    wishes: list[Wish]
    models: Models
    artifacts: MemoryArtifacts
    tries: list[Try]
    tale: list[str]
    alarms: list[str]
    letters: list[str]
    calm_at: float
    ended_at: float = 0.0

    @property
    def digest(self) -> str:
        """Return what is equal for equal stories: all bytes of the journal."""
        digest = hashlib.sha256()
        for recorded in self.recorded:
            digest.update(f"{recorded.seq} {recorded.subject}\n".encode())
            digest.update(recorded.payload)
        return digest.hexdigest()


def tell(seed: int) -> Told:
    """Tell the story of a seed."""
    alarms: list[str] = []
    with _listening(alarms), _numbered_ids():
        return clock.run(Story(seed, alarms).run)


@dataclass
class Story:
    """The house of one seed."""

    seed: int
    alarms: list[str]
    processes: dict[str, Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Each part throws its own dice, so that one more throw here changes nothing there.
        self.dice = Random(f"{self.seed} story")
        self.weather = Weather.of(Random(f"{self.seed} weather"))

    async def run(self) -> Told:
        """Let it happen: a storm, calm, and nothing left to do."""
        world = RestlessWorld(self.weather)
        ground = Ground(world, MemoryArtifacts())
        ground.runs_at_once = Random(f"{self.seed} workers").choice((1, 4))
        self._populate(ground)
        wanted = wishes(Random(f"{self.seed} wishes"), self.dice.randint(12, 24), STORM_SECONDS)
        ground.nude.update(w.known_id for w in wanted if w.known_id and self.dice.random() < 0.2)
        for process in self.processes.values():
            process.start()
        gateways = [self.processes["gateway-a"], self.processes["gateway-b"]]
        clients = [
            asyncio.create_task(pursue(wish, gateways, Random(f"{self.seed} {wish.number}")))
            for wish in wanted
        ]
        await self._storm(ground)
        told = Told(
            self.seed,
            [],
            wanted,
            ground.database.models,
            ground.artifacts,
            world.tries,
            ground.tale,
            self.alarms,
            [],
            clock.seconds(),
        )
        auditor = WiredBus(_free_wire(world))
        await self._settle(told, clients, auditor)
        told.ended_at = clock.seconds()
        await self._end(clients, world)
        told.recorded = auditor.recorded()
        told.letters = [f"{one.service} {one.reason} {one.prompt_id}" for one in auditor.letters()]
        return told

    def _populate(self, ground: Ground) -> None:
        two = {
            "gateway": programs.gateway,
            "scheduler": programs.scheduler,
            "worker": programs.worker,
        }
        some = {
            "validator": programs.validator,
            "moderation": programs.moderation,
            "billing": programs.billing,
        }
        plan = [(f"{name}-{copy}", two[name]) for name in two for copy in "ab"]
        for name, program in some.items():
            plan += [(f"{name}-{copy}", program) for copy in "ab"[: self.dice.choice((1, 2))]]
        plan.append(("recorder-a", programs.recorder))
        for name, program in plan:
            # Worker ids are `<slot>-<suffix>`, and a slot has no dash.
            place = name.replace("-", "_")
            made = Process(place, ground, program)
            self.processes[name] = made

    async def _storm(self, ground: Ground) -> None:
        """Do something bad to somebody now and then."""
        bad: list[Callable[[Ground], None]] = [self._kill, self._cut, self._usurp]
        bad += [self._kill, self._cut, self._stop_database, self._kill_engine]
        while (left := STORM_SECONDS - clock.seconds()) > 0:
            await asyncio.sleep(min(left, self.dice.uniform(1, 12)))
            self.dice.choice(bad)(ground)
        await asyncio.sleep(self.dice.uniform(0, 20))
        self.weather.calm()
        ground.tell("the storm is over")
        ground.database.down_until = 0.0
        for process in self.processes.values():
            process.mend()

    def _kill(self, ground: Ground) -> None:
        self._anybody().crash("killed")

    def _cut(self, ground: Ground) -> None:
        self._anybody().cut(self.dice.choice((3.0, 12.0, 25.0)))

    def _usurp(self, ground: Ground) -> None:
        """Let the leader's claim lapse: for a moment there are two who lead."""
        ground.tell("the leader's claim lapses")
        ground.world.claims._held.clear()

    def _stop_database(self, ground: Ground) -> None:
        seconds = self.dice.uniform(1, 15)
        ground.tell(f"the database is down for {seconds:.1f} s")
        ground.database.down_until = clock.seconds() + seconds

    def _kill_engine(self, ground: Ground) -> None:
        process = self.processes[f"worker-{self.dice.choice('ab')}"]
        if process.face is not None:
            ground.tell(f"the engine of {process.name} dies")
            process.face.kill()

    def _anybody(self) -> Process:
        return self.processes[self.dice.choice(sorted(self.processes))]

    async def _settle(
        self, told: Told, clients: list[asyncio.Task[None]], auditor: WiredBus
    ) -> None:
        """Wait until nothing is open any more, or for so long that it never will be."""
        until = clock.seconds() + CALM_SECONDS
        seen, quiet_since = -1, clock.seconds()
        while clock.seconds() < until:
            await asyncio.sleep(1)
            last = auditor._world.log.last_seq
            if last != seen or not all(task.done() for task in clients):
                seen, quiet_since = last, clock.seconds()
                continue
            quiet = clock.seconds() - quiet_since
            if quiet > STUCK_SECONDS:
                return
            if quiet > QUIET_SECONDS and not open_business(auditor.recorded()):
                return

    async def _end(self, clients: list[asyncio.Task[None]], world: RestlessWorld) -> None:
        for process in self.processes.values():
            process.end()
        for task in (*clients, *world.arriving):
            task.cancel()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=60)


def _free_wire(world: RestlessWorld) -> Wire:
    return Wire("auditor", world, lambda _why: None)


@contextlib.contextmanager
def _numbered_ids() -> Iterator[None]:
    """Make ids that are the same in every telling."""
    numbers = itertools.count(1)
    prompts = itertools.count(1)

    def numbered(kind: str, count: Iterator[int]) -> str:
        return f"{kind}-0000-7000-8000-{next(count):012d}"

    with (
        mock.patch.object(libs.bus.memory, "new_event_id", partial(numbered, "00000000", numbers)),
        mock.patch.object(
            services.gateway.admission, "new_prompt_id", partial(numbered, "0199c6a0", prompts)
        ),
    ):
        yield


@contextlib.contextmanager
def _listening(alarms: list[str]) -> Iterator[None]:
    """Keep what is logged of failures that nobody expects, and say nothing of the rest."""

    def hear(_logger: object, method: str, event: structlog.types.EventDict) -> str:
        if event.get("event") in UNEXPECTED or method == "critical":
            alarms.append(f"{event}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, hear],
        wrapper_class=structlog.make_filtering_bound_logger(40),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)
