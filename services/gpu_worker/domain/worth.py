"""When a result is worth being kept for others: if making it again takes longer than a fetch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

# A guess of the way to the storage, until the first fetches were measured.
LATENCY_SECONDS_FIRST: Final = 0.02
BYTES_PER_SECOND_FIRST: Final = 50e6
# A result must be dearer than its way by so many times, so that a wrong guess costs nothing.
MARGIN: Final = 3.0
# What a new measurement counts among the earlier ones.
SHARE: Final = 0.2
# From so many bytes on, a fetch tells of the rate; below, of the latency.
LARGE_BYTES: Final = 256 * 1024


@dataclass
class Worth:
    """What was measured here: the way to the storage, and what nodes of each type took."""

    latency_seconds: float = LATENCY_SECONDS_FIRST
    bytes_per_second: float = BYTES_PER_SECOND_FIRST
    _node_seconds: dict[str, float] = field(default_factory=dict)

    def fetch_seconds(self, size_bytes: int) -> float:
        """Return how long a result of this size is under way."""
        return self.latency_seconds + size_bytes / self.bytes_per_second

    def is_asked_for(self, node_type: str) -> bool:
        """Say whether it is worth to look for a result before a node is executed."""
        seconds = self._node_seconds.get(node_type)
        return seconds is None or seconds > MARGIN * self.latency_seconds

    def is_kept(self, seconds: float, size_bytes: int) -> bool:
        """Say whether a result that took so long should be kept for others."""
        return seconds > MARGIN * self.fetch_seconds(size_bytes)

    def node_took(self, node_type: str, seconds: float) -> None:
        """Learn how long a node took; the dearest ones count, as they are the ones to save."""
        known = self._node_seconds.get(node_type, seconds)
        self._node_seconds[node_type] = max(seconds, _blend(known, seconds))

    def fetch_took(self, size_bytes: int, seconds: float) -> None:
        """Learn how long a fetch took."""
        if size_bytes < LARGE_BYTES:
            self.latency_seconds = _blend(self.latency_seconds, seconds)
            return
        rate = size_bytes / max(seconds - self.latency_seconds, 1e-4)
        self.bytes_per_second = _blend(self.bytes_per_second, rate)


def _blend(known: float, new: float) -> float:
    return known + SHARE * (new - known)
