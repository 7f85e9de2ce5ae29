"""Runs beside each other: who computes, who is asked about together, and that nobody waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from libs.sampling import turns as turns_module
from libs.sampling.control import Call
from libs.sampling.joining import joined, likeness, split
from libs.sampling.turns import Share, Turns

SECONDS_MAX = 30


class Stopped(Exception):
    """The run was stopped."""


def call(value: float, rows: int = 2, tokens: int = 3) -> Call:
    """Return a call whose every number is `value`."""
    x = np.full((rows, 4, 2, 2), value, np.float32)
    context = np.full((rows, tokens, 5), value, np.float32)
    return Call(
        x, np.full(rows, value, np.float32), context, {"pooled": x[:, 0, 0]}, positive=(True,)
    )


@dataclass
class Network:
    """Says twice what it is asked, and remembers how many rows it was asked at a time."""

    rows: list[int] = field(default_factory=list)
    seconds: float = 0.0
    inside: int = 0
    fails_from: int = 1000

    def __call__(self, asked: Call) -> Any:
        self.inside += 1
        assert self.inside == 1, "two threads compute at once"
        time.sleep(self.seconds)
        self.rows.append(len(asked.x))
        self.inside -= 1
        if len(asked.x) >= self.fails_from:
            raise MemoryError("too many rows")
        return asked.x * 2 + asked.timestep[:, None, None, None] - asked.context[:, :1, :1, None]


def answer_of(value: float) -> float:
    return value * 2


def together(*works: Callable[[], object]) -> list[object]:
    """Do all at once, each in a thread of its own, and return what they returned or raised."""
    barrier = threading.Barrier(len(works))

    def one(work: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return work()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(SECONDS_MAX) for future in [pool.submit(one, work) for work in works]]


def course(
    turns: Turns, network: Network, value: float, steps: int, key: object = "same", rows: int = 2
) -> Callable[[], Share]:
    """Return a run of so many steps over a network."""

    def run() -> Share:
        with turns.joined() as share, turns.taken():
            for step in range(steps):
                asked = call(value + step, rows)
                seen = turns.evaluate((key, likeness(asked)), asked, network)
                assert np.all(seen == answer_of(value + step))
        return share

    return run


def test_runs_of_one_network_are_evaluated_together_and_each_gets_its_own_answer():
    turns, network = Turns(4), Network(seconds=0.01)
    shares = together(*(course(turns, network, 10.0 * n, 20) for n in range(4)))
    assert all(isinstance(share, Share) and share.asked == 20 for share in shares), shares
    assert sum(network.rows) == 4 * 20 * 2
    assert len(network.rows) < 80
    most = max(share.runs_most for share in shares)  # type: ignore[attr-defined]
    assert most * 2 == max(network.rows)
    assert any(f"up to {most} runs in " in share.told() for share in shares)  # type: ignore[attr-defined]


def test_a_run_without_company_waits_for_nobody():
    turns, network = Turns(4), Network()
    began = time.monotonic()
    share = course(turns, network, 1.0, 50)()
    assert time.monotonic() - began < turns_module.LOOK_SECONDS * 20
    assert (share.told(), network.rows) == ("alone", [2] * 50)


def test_another_network_is_asked_for_itself():
    turns, first, second = Turns(2), Network(seconds=0.001), Network(seconds=0.001)
    shares = together(
        course(turns, first, 1.0, 10, key="first"), course(turns, second, 5.0, 10, key="second")
    )
    assert [share.told() for share in shares] == ["alone"] * 2  # type: ignore[attr-defined]
    assert first.rows == second.rows == [2] * 10


def test_a_call_without_a_key_is_never_joined():
    turns, network = Turns(2), Network(seconds=0.001)

    def run() -> None:
        with turns.joined(), turns.taken():
            for _ in range(10):
                turns.evaluate(None, call(1.0), network)

    assert together(run, run) == [None, None]
    assert network.rows == [2] * 20


def test_no_evaluation_has_more_rows_than_the_bound_but_for_one_run_alone():
    turns, network = Turns(5, rows_max=4), Network(seconds=0.002)
    works = [course(turns, network, 10.0 * n, 10) for n in range(4)]
    large = course(turns, network, 100.0, 10, rows=6)
    shares = together(*works, large)
    assert all(isinstance(share, Share) for share in shares), shares
    assert set(network.rows) <= {2, 4, 6}
    assert network.rows.count(6) == 10


def test_what_fails_together_is_asked_one_by_one_and_only_the_guilty_fails():
    turns, network = Turns(3), Network(seconds=0.002, fails_from=6)
    guilty = course(turns, network, 100.0, 5, rows=7)
    first, last, failed = together(
        course(turns, network, 1.0, 5), course(turns, network, 10.0, 5), guilty
    )
    assert isinstance(first, Share)
    assert isinstance(last, Share)
    assert isinstance(failed, MemoryError)


@pytest.mark.parametrize("moment", ["asking", "waiting"])
def test_a_run_that_is_stopped_leaves_and_the_others_go_on(moment):
    turns, network = Turns(3), Network(seconds=0.01)
    stopped = threading.Event()

    def check() -> None:
        if stopped.is_set():
            raise Stopped

    def stops() -> None:
        with turns.joined(check):
            for step in range(1000):
                with turns.taken():
                    if step == 5 and moment == "asking":
                        stopped.set()
                    turns.evaluate(("same", likeness(call(0.0))), call(float(step)), network)
                    check()
                if step == 5:
                    stopped.set()

    left, *shares = together(
        stops, course(turns, network, 1.0, 30), course(turns, network, 9.0, 30)
    )
    assert isinstance(left, Stopped)
    assert all(isinstance(share, Share) and share.asked == 30 for share in shares), shares


def test_one_that_keeps_the_turn_is_alone_and_those_that_wait_can_be_stopped():
    turns = Turns(2)
    stopped, has_turn = threading.Event(), threading.Event()

    def check() -> None:
        if stopped.is_set():
            raise Stopped

    def keeps() -> str:
        with turns.joined(), turns.taken():
            has_turn.set()
            time.sleep(0.4)
            return "done"

    def waits() -> None:
        has_turn.wait()
        stopped.set()
        with turns.joined(check), turns.taken():
            raise AssertionError("the turn was another's")

    kept, left = together(keeps, waits)
    assert kept == "done"
    assert isinstance(left, Stopped)


def test_runs_that_only_begin_do_not_hold_up_a_question_for_ever(monkeypatch):
    monkeypatch.setattr(turns_module, "PATIENCE_SECONDS", 0.05)
    turns, network = Turns(3), Network()
    over = threading.Event()

    def begins() -> int:
        begun = 0
        while not over.is_set():
            with turns.joined(), turns.taken():
                time.sleep(0.005)
                begun += 1
        return begun

    def asks() -> Share:
        try:
            return course(turns, network, 1.0, 5)()
        finally:
            over.set()

    *begun, share = together(begins, begins, asks)
    assert isinstance(share, Share)
    # And they were not held up either.
    assert all(isinstance(count, int) and count > 10 for count in begun)


def test_slow_networks_do_not_hold_up_one_that_begins(monkeypatch):
    monkeypatch.setattr(turns_module, "PATIENCE_SECONDS", 0.05)
    turns = Turns(3)
    first, second = Network(seconds=0.1), Network(seconds=0.1)
    began = threading.Event()

    def begins() -> float:
        began.wait()
        since = time.monotonic()
        with turns.joined(), turns.taken():
            return time.monotonic() - since

    def slow(network: Network, key: str) -> Callable[[], Share]:
        def run() -> Share:
            began.set()
            return course(turns, network, 1.0, 10, key=key)()

        return run

    waited, *_ = together(begins, slow(first, "first"), slow(second, "second"))
    assert isinstance(waited, float)
    assert waited < 1.5


def test_others_compute_while_one_waits_for_something_else():
    turns = Turns(2)
    lent, computed = threading.Event(), threading.Event()

    def lends() -> bool:
        with turns.joined(), turns.taken(), turns.lent():
            lent.set()
            return computed.wait(SECONDS_MAX)

    def computes() -> None:
        lent.wait()
        with turns.joined(), turns.taken():
            computed.set()

    assert together(lends, computes) == [True, None]


def test_a_thread_that_joined_nothing_computes_as_it_is():
    turns, network = Turns(2), Network()
    with turns.taken(), turns.lent():
        assert np.all(turns.evaluate("k", call(3.0), network) == answer_of(3.0))


def test_only_calls_of_equal_shapes_are_alike():
    assert likeness(call(1.0)) == likeness(call(2.0, rows=5))
    assert likeness(call(1.0)) != likeness(call(1.0, tokens=4))
    one = call(1.0)
    led = Call(one.x, one.timestep, one.context, one.extras, control={"down": [one.x]})
    assert likeness(led) is None
    unequal = Call(one.x, one.timestep, one.context[:1], one.extras)
    assert likeness(unequal) is None


def test_joined_calls_come_apart_as_they_were():
    calls = [call(1.0), call(2.0, rows=3), call(3.0, rows=1)]
    whole = joined(calls)
    assert len(whole.x) == len(whole.extras["pooled"]) == 6
    assert whole.positive == (True,) * 3
    parts = split(whole.x, calls)
    assert all(np.array_equal(part, one.x) for part, one in zip(parts, calls, strict=True))


def test_random_runs_all_end_with_their_own_answers():
    """Runs of random length, network and rows, some of which fail or are stopped on the way."""
    dice = np.random.default_rng(3)
    turns = Turns(8, rows_max=6)
    networks = {name: Network() for name in "ab"}

    def run(seed: int) -> Callable[[], str]:
        own = np.random.default_rng(seed)

        def work() -> str:
            fate, network = str(own.choice(["ends", "fails", "stopped"])), str(own.choice([*"ab"]))
            rows, steps = int(own.integers(1, 4)), int(own.integers(5, 40))
            asked = 0

            def check() -> None:
                if fate == "stopped" and asked > 3:
                    raise Stopped

            try:
                with turns.joined(check):
                    for asked in range(steps):
                        with turns.taken():
                            check()
                            assert fate != "fails" or asked < 4
                            one = call(float(seed * 100 + asked), rows)
                            seen = turns.evaluate((network, likeness(one)), one, networks[network])
                            if not np.all(seen == answer_of(seed * 100 + asked)):
                                return "wrong"
            except (Stopped, AssertionError):
                return fate
            return "ends"

        return work

    for _ in range(10):
        seeds = [int(seed) for seed in dice.integers(0, 1000, 8)]
        ended = together(*(run(seed) for seed in seeds))
        assert set(ended) <= {"ends", "fails", "stopped"}, ended
    # The turn is free again.
    assert course(turns, networks["a"], 1.0, 2)().asked == 2
