"""Jobs of an engine: the order in which they are begun, those that are stopped, and who has company."""

from __future__ import annotations

import threading
from collections.abc import Callable

from services.gpu_worker.crew import Crew, Orders
from services.gpu_worker.frames import Frame, Mark, mark_of

SECONDS_MAX = 20


def job(prompt_id: str, attempt: int = 1) -> Frame:
    return Frame("job", {"prompt_id": prompt_id, "attempt": attempt})


def begun(orders: Orders) -> Mark:
    """Begin with the next job."""
    frame = orders.next()
    assert orders.take(frame)
    return mark_of(frame.facts)


def test_jobs_are_begun_in_the_order_in_which_they_came():
    orders = Orders()
    for name in ("a", "b"):
        orders.put(job(name))
    assert [begun(orders) for _ in range(2)] == [("a", 1), ("b", 1)]


def test_a_job_that_is_stopped_while_it_waits_is_over_and_never_begun():
    orders = Orders()
    for name in ("a", "b"):
        orders.put(job(name))
    assert orders.stop(("a", 1))
    assert begun(orders) == ("b", 1)
    assert not orders.is_stopped(("b", 1))


def test_a_job_may_be_stopped_while_there_is_no_place_for_it():
    orders = Orders()
    orders.put(job("a"))
    frame = orders.next()
    assert orders.stop(("a", 1))
    assert not orders.take(frame)


def test_a_stop_is_heard_by_the_one_attempt_that_it_is_about():
    orders = Orders()
    for attempt in (1, 2):
        orders.put(job("a", attempt))
        begun(orders)
    assert not orders.stop(("a", 2))
    assert (orders.is_stopped(("a", 1)), orders.is_stopped(("a", 2))) == (False, True)
    orders.close(("a", 2))
    # Late news about what is over is forgotten.
    assert not orders.stop(("a", 2))
    assert not orders.is_stopped(("a", 2))


def finished(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_so_many_work_beside_each_other_and_no_more():
    crew, inside, go = Crew(2), threading.Semaphore(0), threading.Event()

    def work() -> None:
        inside.release()
        go.wait(SECONDS_MAX)

    def hand_out() -> None:
        for _ in range(3):
            crew.wait(alone=False)
            crew.begin(work, alone=False)

    handing = finished(hand_out)
    assert inside.acquire(timeout=SECONDS_MAX)
    assert inside.acquire(timeout=SECONDS_MAX)
    assert not inside.acquire(timeout=0.1)
    assert not crew.is_idle
    go.set()
    assert inside.acquire(timeout=SECONDS_MAX)
    handing.join(SECONDS_MAX)


def test_who_has_to_be_alone_waits_for_the_others():
    crew, go, alone = Crew(2), threading.Event(), threading.Event()

    def wait() -> None:
        crew.wait(alone=True)
        alone.set()

    def work() -> None:
        go.wait(SECONDS_MAX)

    crew.begin(work, alone=False)
    waiting = finished(wait)
    assert not alone.wait(0.1)
    go.set()
    waiting.join(SECONDS_MAX)
    assert alone.is_set()
    assert crew.is_idle


class Gate:
    """Work that lasts until it is let go; `easing` gives its place to another first."""

    def __init__(self, crew: Crew, *, computes: bool | None = None) -> None:
        self.crew, self.computes = crew, computes
        self.inside, self.go = threading.Event(), threading.Event()

    def __call__(self) -> None:
        if self.computes is not None:
            self.crew.finish(computes=self.computes)
        self.inside.set()
        self.go.wait(SECONDS_MAX)


def waits(crew: Crew, *, alone: bool) -> bool:
    """Say whether somebody who comes now has to wait; who waits then is let in by a later gate."""
    return not crew._has_place(alone=alone)


def begun_with(crew: Crew, gate: Gate, *, alone: bool = False, scope: str = "") -> Gate:
    crew.begin(gate, alone=alone, scope=scope)
    assert gate.inside.wait(SECONDS_MAX)
    return gate


def test_who_has_only_files_to_make_leaves_its_place_to_one_other():
    crew = Crew()
    first = begun_with(crew, Gate(crew, computes=False))
    assert crew.is_idle
    assert not waits(crew, alone=False)
    assert not waits(crew, alone=True)
    second = begun_with(crew, Gate(crew, computes=False), alone=True)
    # Each holds pictures in memory.
    assert waits(crew, alone=False)
    for gate in (first, second):
        gate.go.set()
    crew.wait(alone=True)


def test_who_has_to_be_alone_waits_until_pictures_are_decoded():
    crew = Crew()
    gate = begun_with(crew, Gate(crew, computes=True))
    assert not crew.is_idle
    assert not waits(crew, alone=False)
    assert waits(crew, alone=True)
    gate.go.set()
    crew.wait(alone=True)
    assert crew.is_idle


def test_nothing_is_begun_beside_one_that_is_alone():
    crew = Crew(3)
    gate = begun_with(crew, Gate(crew), alone=True)
    assert waits(crew, alone=False)
    gate.go.set()
    crew.wait(alone=False)


def test_files_come_in_the_order_of_the_jobs_of_one_scope():
    crew = Crew()
    saved: list[object] = []
    first = begun_with(crew, Gate(crew, computes=False), scope="ada")

    def second() -> None:
        crew.place.wait_for_earlier(lambda: None)
        saved.append(first.go.is_set())

    def other() -> None:
        crew.place.wait_for_earlier(lambda: None)
        saved.append("other")

    for work, scope in ((other, "bob"), (second, "ada")):
        crew.wait(alone=False)
        crew.begin(work, alone=False, scope=scope)
    while saved != ["other"]:
        crew._changed.acquire()
        crew._changed.wait(0.01)
        crew._changed.release()
    first.go.set()
    crew.wait(alone=True)
    assert saved == ["other", True]
