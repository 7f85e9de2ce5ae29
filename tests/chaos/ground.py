"""The house that is harmed: real processes, two schedulers, two workers, several customers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import asyncpg

from tests.chaos import processes
from tests.chaos.annex import SLOT
from tests.chaos.checker.gathering import Account, Addresses, addresses_of
from tests.chaos.leader import leader_of
from tests.chaos.workflows import BLOCKED_NAME, NUDITY_THRESHOLD, blocked_bytes
from tests.e2e.houses import ROOT, House, environment, house

T = TypeVar("T")

STOP_SECONDS_MAX = 40
FOUND_SECONDS_MAX = 60.0
POLL_SECONDS = 0.1
WORKERS = 2
LEASE_SECONDS = 5
SETTINGS: Mapping[str, str] = {
    "STUDIO_LEASE_SECONDS": str(LEASE_SECONDS),
    "STUDIO_HEARTBEAT_SECONDS": "0.5",
    "STUDIO_WORKER_THREADS": "1",
    # Five credits pay 250 small pictures, and not one that is dear.
    "STUDIO_BILLING_WELCOME_CREDITS": "5",
    "STUDIO_MODERATION_NUDITY_THRESHOLD": NUDITY_THRESHOLD,
}
LOCAL = Account("local", "local", {})
# Two tenants, two users of one of them, and every tier; the first one's prompts are probes too.
HOLDERS = (
    ("acme", "ada", "enterprise"),
    ("globex", "gus", "enterprise"),
    ("acme", "bob", "pro"),
    ("initech", "fay", "free"),
)


@dataclass
class Ground:
    """A running house and its annex; finds the processes that faults are for."""

    house: House
    annex: subprocess.Popen[bytes]
    where: Addresses
    accounts: tuple[Account, ...]
    random: Random

    @property
    def payer(self) -> Account:
        """Return the customer whose balance is soon too small."""
        return next(account for account in self.accounts if account.user == "bob")

    def pids(self, name: str) -> list[int]:
        """Return the processes of this name that run now."""
        return processes.pids_of(name, (self.house.process.pid, self.annex.pid))

    async def pid(self, name: str) -> int:
        """Return the process that a fault is for, as soon as there is one.

        Of schedulers that is the one that leads, of workers and engines one that is at work.
        """
        pids = await self.until(lambda: self.pids(name), f"a process {name}")
        if name == "scheduler":
            return leader_of(self.house.home, pids) or self.random.choice(pids)
        if name in ("gpu_worker", "engine"):
            busy = {row["worker_id"] for row in await self.rows(_RUNNING)}
            at_work = [pid for pid in pids if self._is_busy(pid, busy)]
            return self.random.choice(at_work or pids)
        return pids[0]

    async def replaced(self, name: str, dead: list[int]) -> None:
        """Wait until as many processes of this name run as before, and none of the dead."""
        wanted = len(dead) if name not in ("scheduler", "gpu_worker", "engine") else WORKERS

        def done() -> bool:
            pids = self.pids(name)
            return len(pids) >= wanted and not set(dead) & set(pids)

        await self.until(done, f"{name} runs again")

    async def rows(self, query: str, *values: object) -> list[Any]:
        """Ask PostgreSQL; nothing while it does not answer."""
        try:
            async with asyncio.timeout(2):
                connection = await asyncpg.connect(self.where.database, timeout=2)
                try:
                    return list(await connection.fetch(query, *values))
                finally:
                    connection.terminate()
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return []
        except (asyncpg.InterfaceError, asyncpg.InternalClientError):
            # How the client says that the server died in the middle of a word.
            return []

    async def until(
        self, condition: Callable[[], T], what: str, seconds: float = FOUND_SECONDS_MAX
    ) -> T:
        """Return the first true answer of `condition`."""

        async def ask() -> T:
            return condition()

        return await self.until_told(ask, what, seconds)

    async def until_told(
        self, ask: Callable[[], Awaitable[T]], what: str, seconds: float = FOUND_SECONDS_MAX
    ) -> T:
        """Return the first true answer of a question that takes its time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if answer := await ask():
                return answer
            await asyncio.sleep(POLL_SECONDS)
        raise TimeoutError(f"not in time: {what}")

    async def worker_of(self, worker_id: str) -> int:
        """Return the agent's process behind a worker id."""

        def found() -> list[int]:
            return [p for p in self.pids("gpu_worker") if _place(p) == (SLOT in worker_id)]

        return (await self.until(found, f"the worker {worker_id}"))[0]

    def _is_busy(self, pid: int, worker_ids: set[str]) -> bool:
        agent = pid if processes.name_of(pid) == "gpu_worker" else _parent(pid)
        return any((SLOT in worker_id) == _place(agent) for worker_id in worker_ids)


_RUNNING = "SELECT worker_id FROM prompts WHERE state = 'running'"


def _place(agent: int) -> bool:
    return processes.slot_of(agent) == SLOT


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


@asynccontextmanager
async def prepared(home: Path, random: Random) -> AsyncIterator[Ground]:
    """Start a house of processes and everything beside it, until the block ends."""
    with house(home, "--split", **SETTINGS) as running, _annex(running) as annex:
        ground = Ground(running, annex, addresses_of(home), _accounts(running), random)
        await ground.until(lambda: len(ground.pids("scheduler")) == WORKERS, "a standby")
        await ground.until(lambda: len(ground.pids("engine")) == WORKERS, "two engines")
        yield ground


def _accounts(running: House) -> tuple[Account, ...]:
    made = []
    for tenant, user, tier in HOLDERS:
        names = ("--tenant", tenant, "--user", user, "--tier", tier)
        told = running.studio("keys", "create", *names, "--json")
        token = json.loads(told.stdout)["token"]
        made.append(Account(tenant, user, {"Authorization": f"Bearer {token}"}))
    for account in (*made, LOCAL):
        _upload(running, account)
    return (*made, LOCAL)


def _upload(running: House, account: Account) -> None:
    """Give a customer the picture that moderation withholds."""
    form = {"image": (BLOCKED_NAME, blocked_bytes(), "image/png")}
    with running.client() as api:
        answer = api.post("/upload/image", files=form, headers=dict(account.headers))
    answer.raise_for_status()


@contextmanager
def _annex(running: House) -> Iterator[subprocess.Popen[bytes]]:
    log = running.home.parent / f"{running.home.name}.annex.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.annex"],
            cwd=ROOT,
            env=environment(running.home) | dict(SETTINGS),
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
