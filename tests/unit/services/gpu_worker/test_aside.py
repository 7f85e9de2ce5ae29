"""Async nodes beside other runs: one computes at a time, and their networks are asked together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from libs.sampling.turns import Share, Turns
from services.gpu_worker.aside import Aside
from tests.unit.libs.sampling.test_turns import Network, Stopped, answer_of, call, together

SECONDS_MAX = 30


@dataclass
class Bench:
    """Computing that notices whether two do it at once."""

    turns: Turns = field(default_factory=lambda: Turns(3))
    network: Network = field(default_factory=lambda: Network(seconds=0.002))
    inside: int = 0
    most: int = 0

    def compute(self) -> None:
        """Compute for a moment."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.001)
        self.inside -= 1

    async def steps(self) -> str:
        """Compute, and wait in between."""
        for _ in range(15):
            self.compute()
            await asyncio.sleep(0)
        return "done"

    async def sampling(self, value: float) -> None:
        """Ask a network, in the thread of the loop and in one of its own."""
        for step in range(8):
            self.ask(value + step)
            await asyncio.to_thread(self.ask, value + step)

    def ask(self, value: float) -> None:
        """Ask the network, and look at the answer."""
        asked = call(value)
        assert np.all(self.turns.evaluate("same", asked, self.network) == answer_of(value))

    def run(self, *works: Callable[[], Awaitable[Any]]) -> Callable[[], tuple[Share, list[Any]]]:
        """Return a run whose nodes all are async."""

        def run() -> tuple[Share, list[Any]]:
            with self.turns.joined() as share, Aside(self.turns.taken) as aside:
                with self.turns.taken():
                    calls = [aside.begin(work()) for work in works]
                return share, [one.result(SECONDS_MAX) for one in calls]

        return run


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_async_nodes_of_several_runs_compute_one_at_a_time(bench: Bench):
    ended = together(*[bench.run(bench.steps, bench.steps)] * 3)
    assert [one[1] for one in ended] == [["done", "done"]] * 3  # type: ignore[index]
    assert bench.most == 1


def test_networks_of_async_nodes_are_asked_one_at_a_time_and_together(bench: Bench):
    runs = [bench.run(lambda n=n: bench.sampling(10.0 * n)) for n in range(3)]  # type: ignore[misc]
    ended = together(*runs)
    assert [one[1] for one in ended] == [[None]] * 3, ended  # type: ignore[index]
    assert [one[0].asked for one in ended] == [16] * 3  # type: ignore[index]
    assert max(bench.network.rows) > 2


def test_an_async_node_that_is_cancelled_or_fails_lets_go_of_the_turn(bench: Bench):
    async def fails() -> None:
        await asyncio.sleep(0)
        raise Stopped

    async def endless() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            bench.compute()

    with bench.turns.joined(), Aside(bench.turns.taken) as aside:
        failed, waiting = aside.begin(fails()), aside.begin(endless())
        with pytest.raises(Stopped):
            failed.result(SECONDS_MAX)
        assert not waiting.done()
    assert waiting.cancelled()
    with bench.turns.joined(), bench.turns.taken():
        bench.compute()
    assert bench.most == 1
