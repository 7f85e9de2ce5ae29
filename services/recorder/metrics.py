"""What the recorder counts."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

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
