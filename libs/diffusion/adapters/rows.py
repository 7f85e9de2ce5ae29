"""Which rows of a published module belong to one of ours, where theirs and ours are cut otherwise."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

# A run of them, or each of them in our order.
Rows: TypeAlias = slice | tuple[int, ...]


def taken(values: Tensor, rows: Rows | None) -> Tensor:
    """Return the rows of a published tensor that are ours; None is all of them."""
    if rows is None:
        return values
    return values[rows if isinstance(rows, slice) else list(rows)]


def counted(rows: Rows | None, whole: int) -> int:
    """Return how many rows they are, of so many."""
    if rows is None:
        return whole
    return len(range(*rows.indices(whole))) if isinstance(rows, slice) else len(rows)


def halves_swapped(whole: int) -> Rows:
    """Return the second half of all rows, then the first."""
    half = whole // 2
    return (*range(half, whole), *range(half))
