"""The house's processes on one world: started, killed in the middle, started again with nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from libs.artifacts.memory import MemoryArtifacts
from libs.bus.base import Reactor
from libs.chassis.service import Service
from tests.chaos.seeded import clock
from tests.chaos.seeded.stores import Database, MemoryArchive, OpenVault, WiredArtifacts
from tests.chaos.seeded.stream import RestlessWorld
from tests.chaos.seeded.wire import Wire, WiredBus

RESTART_SECONDS_MAX = 5.0
ACK_WAIT_SECONDS = 30.0


@dataclass
class Ground:
    """What all processes of a story stand on."""

    world: RestlessWorld
    artifacts: MemoryArtifacts
    database: Database = field(default_factory=Database)
    vault: OpenVault = field(default_factory=OpenVault)
    nude: set[str] = field(default_factory=set)
    # How many runs a worker executes beside each other.
    runs_at_once: int = 1
    tale: list[str] = field(default_factory=list)

    def tell(self, what: str) -> None:
        """Note what happened, with the moment."""
        self.tale.append(f"{clock.seconds():8.3f} s  {what}")


@dataclass(frozen=True)
class Reach:
    """What one life of a process has in its hands: everything over its own wire."""

    ground: Ground
    wire: Wire
    bus: WiredBus
    archive: MemoryArchive
    artifacts: WiredArtifacts
    life: int

    @classmethod
    def over(cls, ground: Ground, wire: Wire, life: int) -> Reach:
        """Tie everything to the wire."""
        return cls(
            ground=ground,
            wire=wire,
            bus=WiredBus(wire),
            archive=MemoryArchive(ground.database, wire),
            artifacts=WiredArtifacts(ground.artifacts, wire),
            life=life,
        )


@dataclass(frozen=True)
class Program:
    """What a process runs; `face` is what those outside of it may speak to."""

    service: Service
    face: Any = None


@dataclass
class Process:
    """A program that is started again whenever it dies, and what it can reach while it lives."""

    name: str
    ground: Ground
    program: Callable[[Reach], Program]
    face: Any = None
    lives: int = 0
    deaths: list[str] = field(default_factory=list)
    over: bool = False
    _wire: Wire | None = None
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def alive(self) -> bool:
        """Say whether it runs now."""
        return self._wire is not None and not self._wire.dead

    def start(self) -> None:
        """Begin a new life, which remembers nothing."""
        if self.over or self.alive:
            return
        self.lives += 1
        wire = Wire(self.name, self.ground.world, self.crash)
        self._wire = wire
        program = self.program(Reach.over(self.ground, wire, self.lives))
        self.face = program.face
        self._tasks = set()
        for part in _parts(program.service, WiredBus(wire)):
            task = self.spawn(part)
            task.add_done_callback(lambda ended: self._ended(wire, ended))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Let the process do something; it dies with it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def crash(self, why: str) -> None:
        """Die at once: nothing that is under way has any effect any more."""
        wire = self._wire
        if wire is None or wire.dead:
            return
        wire.dead = True
        self.face = None
        self.deaths.append(why)
        self.ground.tell(f"{self.name} dies ({why})")
        for task in sorted(self._tasks, key=asyncio.Task.get_name):
            task.cancel()
        pause = self.ground.world.weather.dice.uniform(0.1, RESTART_SECONDS_MAX)
        asyncio.get_running_loop().call_later(pause, self.start)

    def cut(self, seconds: float) -> None:
        """Cut its wire for a while; it goes on without knowing."""
        if self._wire is not None:
            self.ground.tell(f"{self.name} is cut off for {seconds:.1f} s")
            self._wire.cut_until = clock.seconds() + seconds

    def mend(self) -> None:
        """End a cut."""
        if self._wire is not None:
            self._wire.cut_until = 0.0

    def end(self) -> None:
        """Die for good."""
        self.over = True
        self.crash("the story is over")

    def _ended(self, wire: Wire, task: asyncio.Task[Any]) -> None:
        if wire.dead:
            return
        error = None if task.cancelled() else task.exception()
        self.crash(f"a part of it ended: {error!r}")


def _parts(service: Service, bus: WiredBus) -> list[Coroutine[Any, Any, Any]]:
    parts: list[Coroutine[Any, Any, Any]] = []
    if service.reacts:
        reactor = Reactor(
            name=service.name,
            filters=service.filters(),
            handler=service.handle,
            ack_wait_seconds=ACK_WAIT_SECONDS,
        )
        parts.append(bus.react(reactor))
    parts += [bus.answer(subject, handler) for subject, handler in service.answers.items()]
    parts += [_forever(task) for task in _tasks(service.tasks)]
    return parts


def _tasks(
    tasks: Mapping[str, Callable[[], Awaitable[None]]],
) -> list[Callable[[], Awaitable[None]]]:
    return [tasks[name] for name in tasks]


async def _forever(task: Callable[[], Awaitable[None]]) -> None:
    await task()
