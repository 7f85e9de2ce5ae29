"""Virtual time: an event loop that never waits, it jumps to the next moment that matters."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest import mock

import services.gpu_worker.agent
import services.gpu_worker.outlet
import services.scheduler.leadership

T = TypeVar("T")

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BEGIN_SECONDS = 1000.0


class Stuck(RuntimeError):
    """Nobody waits for a moment any more: the story would stand still for ever."""


class JumpingSelector(selectors.SelectSelector):
    """Says at once that nothing happened, and lets the clock jump over the wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = BEGIN_SECONDS

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("every task waits for another one")
        self.seconds += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on virtual time; what would go to a thread is done on the spot."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.seconds

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


def run(story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a story from its beginning on a loop of its own, on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, virtual_monotonic(runner.get_loop()):
        return runner.run(story())


def now() -> datetime:
    """Return the moment of the story: it begins at noon."""
    return NOON + timedelta(seconds=seconds())


def seconds() -> float:
    """Return how long the story has been going on."""
    return asyncio.get_running_loop().time() - BEGIN_SECONDS


@contextlib.contextmanager
def virtual_monotonic(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let those who measure time by the machine's clock measure the loop's."""
    clock = SimpleNamespace(monotonic=loop.time)
    with contextlib.ExitStack() as stack:
        for module in (
            services.gpu_worker.agent,
            services.gpu_worker.outlet,
            services.scheduler.leadership,
        ):
            stack.enter_context(mock.patch.object(module, "time", clock))
        yield
