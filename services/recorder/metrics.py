"""What the recorder counts."""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from libs.telemetry.measures import WAIT_SECONDS

ARCHIVED: Final = Counter("studio_recorder_archived_total", "Events that were archived.")
SKIPPED: Final = Counter(
    "studio_recorder_skipped_total", "Archived events that no read model could take."
)
SEQ: Final = Gauge("studio_recorder_seq", "Sequence up to which everything is committed.")
PENDING: Final = Gauge("studio_recorder_pending", "Events on the stream that wait for us.")
REFUSING: Final = Gauge("studio_recorder_refusing", "1 while stream and archive do not fit.")
COMMIT: Final = Histogram(
    "studio_recorder_commit_seconds",
    "Time of one transaction.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
)
BATCH: Final = Histogram(
    "studio_recorder_batch_events",
    "Events of one transaction.",
    buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000),
)
ARCHIVE: Final = Histogram(
    "studio_recorder_archive_seconds",
    "Time from the oldest event of a batch to its commit.",
    buckets=WAIT_SECONDS,
)
LAG: Final = Gauge(
    "studio_recorder_lag_seconds", "Age of the oldest event that is read and not committed."
)


class _InHand:
    """When the oldest event was written that waits for its commit."""

    oldest: float | None = None

    def lag(self) -> float:
        """Return its age; nothing waits, nothing is late."""
        return 0.0 if self.oldest is None else max(0.0, time.time() - self.oldest)


IN_HAND: Final = _InHand()
LAG.set_function(IN_HAND.lag)
