"""The client of the submit measure: `python -m tests.bench.steady URL --per-second 20`.

Each submission has a time at which it is due, and is measured from that time on, so that a
house that falls behind cannot slow down the very clock that it is measured with.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import time
import uuid
from dataclasses import dataclass, field

import uvloop

from tests.bench.programs import say
from tests.bench.wire import Listener, Wire, ended_prompt
from tests.e2e.watching import tiny_graph

WARM_SECONDS = 2.0
DRAIN_SECONDS_MAX = 90.0
COLORS = 1 << 24


@dataclass
class Steady:
    """Submissions at their due times; milliseconds to each answer and to each end."""

    url: str
    client_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    due: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    answered_ms: list[float] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    idle: list[Wire] = field(default_factory=list)
    refused: int = 0
    color: int = field(default_factory=lambda: secrets.randbelow(COLORS))

    async def submit(self, due: float, *, counts: bool) -> None:
        """Submit on a connection that is idle, or on a new one."""
        wire = self.idle.pop() if self.idle else await Wire.open(self.url)
        self.color = (self.color + 1) % COLORS
        prompt_id = await wire.submit(tiny_graph(self.color), self.client_id)
        self.idle.append(wire)
        if not prompt_id:
            self.refused += 1
        elif counts:
            self.answered_ms.append((time.monotonic() - due) * 1000)
            self.due[prompt_id] = due

    def hear(self, text: bytes) -> None:
        """Note when each prompt ended."""
        if prompt_id := ended_prompt(text):
            self.ended[prompt_id] = time.monotonic()
            self.news.set()

    async def run(self, per_second: float, seconds: float) -> None:
        """Submit in step with the clock, then wait for all ends."""
        listener = await Listener.open(self.url, self.client_id, self.hear)
        began, tasks = time.monotonic(), []
        for number in range(int((WARM_SECONDS + seconds) * per_second)):
            due = began + number / per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            submission = self.submit(due, counts=due >= began + WARM_SECONDS)
            tasks.append(asyncio.create_task(submission))
        await asyncio.gather(*tasks)
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            while self.due.keys() - self.ended.keys():
                self.news.clear()
                await self.news.wait()
        listener.close()
        ended_ms = [(self.ended[prompt] - due) * 1000 for prompt, due in self.due.items()]
        say("measured", refused=self.refused, answered_ms=self.answered_ms, ended_ms=ended_ms)


async def run(url: str, per_second: float, seconds: float) -> None:
    """Make a client inside the loop and let it run."""
    await Steady(url).run(per_second, seconds)


def main() -> None:
    """Read the command line and submit."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("url")
    words.add_argument("--per-second", type=float, default=20.0)
    words.add_argument("--seconds", type=float, default=15.0)
    given = words.parse_args()
    uvloop.run(run(given.url, given.per_second, given.seconds))


if __name__ == "__main__":
    main()
