"""Where the nodes of a graph are drawn: in columns, each right of what feeds it, none overlapping."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Sources = Mapping[str, Sequence[str]]

COLUMN_GAP: Final = 64
ROW_GAP: Final = 60
SWEEPS: Final = 4


@dataclass(frozen=True)
class Size:
    """How much room a node takes."""

    width: int
    height: int


@dataclass(frozen=True)
class Box:
    """A rectangle; `x` and `y` are its left upper corner."""

    x: int
    y: int
    width: int
    height: int

    @property
    def middle(self) -> float:
        """Return how far down its middle is."""
        return self.y + self.height / 2

    def overlaps(self, other: Box) -> bool:
        """Say whether two boxes share any ground."""
        beside = self.x + self.width <= other.x or other.x + other.width <= self.x
        above = self.y + self.height <= other.y or other.y + other.height <= self.y
        return not (beside or above)


def columns(sources: Sources, first: Collection[str] = ()) -> list[list[str]]:
    """Return the nodes by columns, each right of its sources.

    A node that needs none stands right before the first that needs it, unless it is among
    `first`: those begin at the left.
    """
    depths, users = _depths(sources), _users(sources)
    for node_id, needs in sources.items():
        if not needs and node_id not in first and users[node_id]:
            depths[node_id] = min(depths[user] for user in users[node_id]) - 1
    width = max(depths.values(), default=-1) + 1
    found: list[list[str]] = [[] for _ in range(width)]
    for node_id in sources:
        found[depths[node_id]].append(node_id)
    return found


def placed(
    sizes: Mapping[str, Size], sources: Sources, first: Collection[str] = ()
) -> list[dict[str, Box]]:
    """Return a box for every node, by columns: nodes that are wired stand near each other."""
    order = columns(sources, first)
    users = _users(sources)
    boxes = _stacked(order, sizes)
    for sweep in range(SWEEPS):
        towards = users if sweep % 2 else sources
        for column in reversed(order) if sweep % 2 else order:
            _sort(column, towards, boxes)
            boxes |= _column(column, sizes, boxes[column[0]].x if column else 0)
    # On a cycle some columns stay empty.
    return [{node_id: boxes[node_id] for node_id in column} for column in order if column]


def around(boxes: Iterable[Box], margin: int, head: int) -> Box:
    """Return the box around some boxes, with a margin and room for a heading."""
    inside = list(boxes)
    x = min(box.x for box in inside) - margin
    y = min(box.y for box in inside) - margin - head
    right = max(box.x + box.width for box in inside) + margin
    below = max(box.y + box.height for box in inside) + margin
    return Box(x, y, right - x, below - y)


def _users(sources: Sources) -> dict[str, list[str]]:
    """Return what each node feeds."""
    users: dict[str, list[str]] = {node_id: [] for node_id in sources}
    for node_id, needs in sources.items():
        for source in dict.fromkeys(needs):
            if source in users:
                users[source].append(node_id)
    return users


def _depths(sources: Sources) -> dict[str, int]:
    """Return the length of the longest way to each node; on a cycle it ends at their number."""
    depths = dict.fromkeys(sources, 0)
    waiting = True
    while waiting:
        waiting = False
        for node_id, needs in sources.items():
            deepest = max((depths[source] + 1 for source in needs if source in depths), default=0)
            if (deeper := min(deepest, len(sources))) != depths[node_id]:
                depths[node_id], waiting = deeper, True
    return depths


def _sort(column: list[str], towards: Sources, boxes: Mapping[str, Box]) -> None:
    def near(node_id: str) -> float:
        middles = [boxes[other].middle for other in towards[node_id] if other in boxes]
        return sum(middles) / len(middles) if middles else boxes[node_id].middle

    column.sort(key=near)


def _stacked(order: Sequence[Sequence[str]], sizes: Mapping[str, Size]) -> dict[str, Box]:
    boxes: dict[str, Box] = {}
    x = 0
    for column in order:
        boxes |= _column(column, sizes, x)
        x += max((sizes[node_id].width for node_id in column), default=0) + COLUMN_GAP
    return boxes


def _column(column: Sequence[str], sizes: Mapping[str, Size], x: int) -> dict[str, Box]:
    boxes: dict[str, Box] = {}
    y = 0
    for node_id in column:
        size = sizes[node_id]
        boxes[node_id] = Box(x, y, size.width, size.height)
        y += size.height + ROW_GAP
    return boxes
