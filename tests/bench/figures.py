"""What a measure returns, and the limits that it is held against."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Figures = dict[str, float]


@dataclass(frozen=True)
class Limit:
    """A bound on one figure; `floor` says that less is worse."""

    value: float
    unit: str
    floor: bool = False

    def holds(self, figure: float) -> bool:
        """Say whether `figure` is within the bound."""
        return figure >= self.value if self.floor else figure <= self.value

    def __str__(self) -> str:
        return f"{'≥' if self.floor else '≤'} {self.value:,g} {self.unit}"


@dataclass(frozen=True)
class Breakdown:
    """A table that explains figures: who used what."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float]]

    def as_json(self) -> list[dict[str, Any]]:
        """Return one object per row."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class Taken:
    """What one measure found."""

    figures: Figures
    breakdowns: Mapping[str, Breakdown] = field(default_factory=dict)


def spread(values: Sequence[float], unit: str, prefix: str = "") -> Figures:
    """Return the median, the 95th percentile and the largest of what was measured."""
    if len(values) < 2:
        raise AssertionError("nothing was measured")
    return {
        f"{prefix}p50_{unit}": statistics.median(values),
        f"{prefix}p95_{unit}": statistics.quantiles(values, n=20, method="inclusive")[18],
        f"{prefix}max_{unit}": max(values),
    }
