"""The client of the throughput measure: `python -m tests.bench.load URL --seconds 15`.

It keeps a bounded number of prompts open over several connections, hears their ends on one
WebSocket, and says when the measured window opens and closes.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import uvloop
from websockets.asyncio.client import connect

from tests.bench.programs import say
from tests.bench.wire import Wire, ended_prompt, socket_url
from tests.e2e.watching import tiny_graph

CONNECTIONS = 8
OPEN_MAX = 32
DRAIN_SECONDS_MAX = 60.0
COLORS = 1 << 24


@dataclass
class Load:
    """Prompts that were handed in and prompts that ended."""

    url: str
    client_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    submitted: set[str] = field(default_factory=set)
    ended: list[str] = field(default_factory=list)
    stopping: bool = False
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(OPEN_MAX))
    news: asyncio.Event = field(default_factory=asyncio.Event)
    color: int = field(default_factory=lambda: secrets.randbelow(COLORS))

    async def post(self) -> None:
        """Submit one after another, each of another colour, while there is room."""
        wire = await Wire.open(self.url)
        while True:
            await self.room.acquire()
            if self.stopping:
                break
            self.color = (self.color + 1) % COLORS
            self.submitted.add(await wire.submit(tiny_graph(self.color), self.client_id))
        wire.close()

    async def listen(self) -> None:
        """Count terminal frames; each makes room for one more prompt."""
        address = socket_url(self.url, self.client_id)
        async with connect(address, compression=None, max_size=None, max_queue=None) as socket:
            async for text in socket:
                if prompt_id := ended_prompt(text):
                    self.ended.append(prompt_id)
                    self.room.release()
                    self.news.set()

    async def drain(self, posting: list[asyncio.Task[None]]) -> None:
        """Stop submitting and wait for the ends of all that was accepted."""
        self.stopping = True
        for _ in range(CONNECTIONS):
            self.room.release()
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            await asyncio.gather(*posting)
            while self.submitted - set(self.ended):
                self.news.clear()
                await self.news.wait()


async def run(load: Load, warm_seconds: float, seconds: float) -> None:
    """Warm up, measure a window, drain, and tell what came of it."""
    parts = [asyncio.create_task(load.listen())]
    await asyncio.sleep(0)
    posting = [asyncio.create_task(load.post()) for _ in range(CONNECTIONS)]
    parts += posting
    await _unless_failed(parts, warm_seconds)
    clock: Callable[[], tuple[float, float]] = lambda: (time.monotonic(), time.process_time())  # noqa: E731
    (began, spent), first = clock(), len(load.ended)

    say("begun")
    await _unless_failed(parts, seconds)
    (finished, spent_after), last = clock(), len(load.ended)
    say(
        "measured",
        prompts=last - first,
        seconds=finished - began,
        client_cpu_seconds=spent_after - spent,
    )
    await load.drain(posting)
    say(
        "drained",
        submitted=len(load.submitted),
        doubled=len(load.ended) - len(set(load.ended)),
    )


async def _unless_failed(parts: list[asyncio.Task[None]], seconds: float) -> None:
    done, _ = await asyncio.wait(parts, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for part in done:
        part.result()
        raise AssertionError("the client stopped before its time")


def main() -> None:
    """Read the command line and put the load on."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("url")
    words.add_argument("--warm-seconds", type=float, default=3.0)
    words.add_argument("--seconds", type=float, default=15.0)
    given = words.parse_args()
    uvloop.run(run(Load(given.url), given.warm_seconds, given.seconds))


if __name__ == "__main__":
    main()
