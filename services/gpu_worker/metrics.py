"""What a worker counts: how busy it is, and how its executions end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from libs.telemetry.measures import WAIT_SECONDS

READY: Final = Gauge("studio_worker_engine_ready", "1 while an engine is ready to execute.")
BUSY: Final = Gauge("studio_worker_busy", "1 while a run is executed.")
BUSY_SECONDS: Final = Counter(
    "studio_worker_busy_seconds_total", "Time spent on leases; its rate is the share of busy time."
)
EXECUTIONS: Final = Counter(
    "studio_worker_executions_total", "Attempts that ended, by outcome.", ["outcome"]
)
EXECUTION: Final = Histogram(
    "studio_worker_execution_seconds",
    "Time from a lease to the last word about it, by outcome.",
    ["outcome"],
    buckets=WAIT_SECONDS,
)
ENGINE_DEATHS: Final = Counter(
    "studio_worker_engine_deaths_total", "Engines that ended and were started again."
)


@dataclass
class Busy:
    """Counts busy time as it passes, so that a long run shows before it ends."""

    clock: Callable[[], float] = time.monotonic
    _since: float | None = None
    _runs: int = 0

    def begin(self) -> None:
        """Begin with a run, perhaps beside others."""
        self._runs += 1
        if self._since is None:
            self._since = self.clock()
        BUSY.set(1)

    def tick(self) -> None:
        """Count what has passed until now."""
        if self._since is not None:
            now = self.clock()
            BUSY_SECONDS.inc(max(0.0, now - self._since))
            self._since = now

    def end(self) -> None:
        """Be done with a run; free again after the last one."""
        self.tick()
        self._runs -= 1
        if self._runs:
            return
        self._since = None
        BUSY.set(0)
