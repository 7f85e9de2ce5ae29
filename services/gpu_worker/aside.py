"""Where async nodes go on while others are executed: one event loop, in a thread of its own."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeAlias

Taken: TypeAlias = Callable[[], AbstractContextManager[None]]


class Aside:
    """The async part of one execution; there is no thread until something is begun.

    Each step of a call, from one wait to the next, is done while it has the turn, where several
    executions take turns. When the block is left, whatever still goes on is cancelled and waited
    for.
    """

    def __init__(self, taken: Taken = nullcontext) -> None:
        self._taken = taken
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._begun: list[Future[Any]] = []
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def begin(self, work: Awaitable[Any]) -> Future[Any]:
        """Let a call go on here, in the context variables of the caller."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="aside")
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(_awaited(work, self._taken), self._loop)

    def tell(self, node_id: str, calls: Sequence[Future[Any]]) -> None:
        """Let `ended` return the node when all its calls have ended."""
        left = len(calls)
        lock = threading.Lock()

        def one_ended(_: Future[Any]) -> None:
            nonlocal left
            with lock:
                left -= 1
                last = left == 0
            if last:
                self._ended.put(node_id)

        for call in calls:
            call.add_done_callback(one_ended)

    def ended(self, wait_seconds: float = 0) -> str | None:
        """Return a node that has ended, if there is one within the time."""
        try:
            return (
                self._ended.get(timeout=wait_seconds) if wait_seconds else self._ended.get_nowait()
            )
        except queue.Empty:
            return None


async def _awaited(work: Awaitable[Any], taken: Taken) -> Any:
    return await _InTurn(work, taken)


class _InTurn:
    """Awaits something, and has the turn only while that does not wait itself."""

    def __init__(self, work: Awaitable[Any], taken: Taken) -> None:
        self._work = work
        self._taken = taken

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Any = self._work.__await__()
        step = partial(next, steps)
        while True:
            with self._taken():
                try:
                    waits_for = step()
                except StopIteration as end:
                    return end.value
            try:
                yield waits_for
                step = partial(next, steps)
            except BaseException as error:
                if not hasattr(steps, "throw"):
                    raise
                step = partial(steps.throw, error)


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
