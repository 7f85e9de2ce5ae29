"""What nodes show, made in a thread of its own while the next nodes are executed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from libs.nodes.context import Interrupted

# Each holds pictures, so that a fast graph waits for a slow encoder.
PENDING_MAX: Final = 2


class Showing:
    """One after the other, in the order in which the nodes were executed.

    A failure is raised at the next `check`, and at the latest when the block is left; it comes
    before a failure of a later node. After a failure nothing more is made.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="show")
        self._pending: deque[Future[None]] = deque()
        self._failed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        if not isinstance(error, Interrupted):
            self._raise_first(0)

    def begin(self, make: Callable[[], None]) -> None:
        """Let something be made; waits while too much is waiting already."""
        self._raise_first(PENDING_MAX - 1)
        self._pending.append(self._thread.submit(self._guarded, make))

    @property
    def is_making(self) -> bool:
        """Say whether something is still to be made."""
        return not all(made.done() for made in self._pending)

    def check(self) -> None:
        """Raise what went wrong in the meantime."""
        while self._pending and self._pending[0].done():
            self._pending.popleft().result()

    def _raise_first(self, left: int) -> None:
        while len(self._pending) > left:
            self._pending.popleft().result()

    def _guarded(self, make: Callable[[], None]) -> None:
        if self._failed.is_set():
            return
        try:
            make()
        except BaseException:
            self._failed.set()
            raise
