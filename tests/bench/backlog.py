"""Servers of a bench's own, and thousands of prompts' stories for the recorder to archive."""

from __future__ import annotations

import asyncio
import base64
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nats

from libs.bus.identity import new_event_id
from libs.bus.jetstream import connect
from libs.chassis.embedded.nats import start_nats
from libs.chassis.embedded.postgres import start_postgres
from libs.events.base import Event, Sealed, subject_of
from libs.events.envelope import Cause, wrap
from libs.events.prompt import PromptSubmitted
from libs.settings import Settings
from libs.store.engine import migrate
from tests.contract.store import lives
from tests.contract.store.lives import TENANT, prompt_id
from tests.e2e.houses import ROOT, environment

OPEN_AT_ONCE = 40
USERS = 50
UNANSWERED_MAX = 1000
# What a workflow of seven nodes takes, sealed.
WORKFLOW_BYTES = 1800
BEGINNING = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Stored:
    """An event as a service would have published it."""

    subject: str
    event_id: str
    data: bytes


Publish = Callable[[Sequence[Stored]], Awaitable[None]]


@dataclass(frozen=True)
class Servers:
    """A NATS server and a PostgreSQL that nobody else uses."""

    settings: Settings
    nats_pid: int
    postgres_pid: int

    def cpu_seconds(self, recorder_pid: int) -> dict[str, float]:
        """Return the CPU time of recorder and servers since they started."""
        pids = {"recorder": recorder_pid, "postgres": self.postgres_pid, "nats": self.nats_pid}
        return {name: cpu_seconds(pid) for name, pid in pids.items()}


@asynccontextmanager
async def servers(folder: Path) -> AsyncIterator[Servers]:
    """Run the servers with all streams and tables until the block ends."""
    postgres = await start_postgres(folder, port=0)
    news = await start_nats(folder, port=0, monitoring_port=0)
    settings = Settings(nats_url=news.url, database_url=postgres.url, events_max_mib=2048)
    try:
        await migrate(settings.database_url)
        bus = await connect(settings, "bench")
        await bus.provision()
        await bus.close()
        yield Servers(settings, news.server.pid, postgres.server.pid)
    finally:
        await news.server.stop()
        await postgres.server.stop()


def stories(prompts: int, *, seed: int = 1, first: int = 0) -> Iterator[Stored]:
    """Yield the stories of so many delivered prompts, interleaved as a busy house has them."""
    chance = random.Random(seed)
    coming = iter(range(first, first + prompts))
    waiting: list[tuple[Cause, list[Event]]] = []
    count = 0
    while True:
        while len(waiting) < OPEN_AT_ONCE and (number := next(coming, None)) is not None:
            trace = f"00-{chance.randbytes(16).hex()}-{chance.randbytes(8).hex()}-01"
            cause = Cause(new_event_id(), prompt_id(number), trace)
            waiting.append((cause, _story(number, chance)))
        if not waiting:
            return
        cause, left = lot = chance.choice(waiting)
        event = left.pop(0)
        count += 1
        event_id = new_event_id()
        data = wrap(
            event,
            event_id=event_id,
            tenant=TENANT,
            source=f"/studio/{event.owner}",
            time=BEGINNING + timedelta(milliseconds=3 * count),
            cause=cause,
        )
        yield Stored(subject_of(TENANT, event), event_id, data)
        if not left:
            waiting.remove(lot)


@asynccontextmanager
async def publisher(settings: Settings) -> AsyncIterator[Publish]:
    """Give a way to put events on the stream, many unanswered at a time, and wait for all."""
    client = await nats.connect(settings.nats_url)
    stream = client.jetstream(publish_async_max_pending=UNANSWERED_MAX)

    async def publish(events: Sequence[Stored]) -> None:
        answers = [
            await stream.publish_async(one.subject, one.data, headers={"Nats-Msg-Id": one.event_id})
            for one in events
        ]
        await asyncio.gather(*answers)

    try:
        yield publish
    finally:
        await client.close()


@contextmanager
def recorder(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `studio recorder` as a process of its own until the block ends."""
    given = {
        "NATS_URL": settings.nats_url,
        "DATABASE_URL": settings.database_url,
        # The recorder has no use for either; every service is started with all settings.
        "S3_ENDPOINT": "http://127.0.0.1:1",
        "STUDIO_MASTER_KEY": base64.b64encode(os.urandom(32)).decode(),
    }
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "recorder"],
            cwd=ROOT,
            env=environment(log.parent) | given,
            stdout=sink,
            stderr=sink,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and all its children, those that have died included."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_seconds(int(child)) for child in children)


def _story(number: int, chance: random.Random) -> list[Event]:
    user = f"user-{chance.randrange(USERS)}"
    submitted, *rest = lives.success(prompt_id(number), user, number=number + 1)
    assert isinstance(submitted, PromptSubmitted)
    inline = base64.b64encode(chance.randbytes(WORKFLOW_BYTES)).decode()
    sealed = Sealed(kid="k1", inline=inline, clear_bytes=WORKFLOW_BYTES)
    return [submitted.model_copy(update={"workflow": sealed}), *rest]
