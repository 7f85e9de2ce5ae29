"""Which node is executed next: a state machine that knows nothing of what nodes do.

A node waits for its sources, is ready, is at work, or is away: at work somewhere else until it is
called back. One at work may ask for more sources, and waits again. What was asked for last is
made first, so that few values are held at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

Rank: TypeAlias = tuple[bool, int, int]


class Schedule:
    """The nodes that are not finished yet.

    `sources` gives what a node surely needs; what `known` says yes to is at hand already, and
    needs no execution. Those that are `urgent` go before all others that are ready.
    """

    def __init__(
        self,
        sources: Callable[[str], Iterable[str]],
        known: Callable[[str], bool] = lambda _: False,
        urgent: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._sources = sources
        self._known = known
        self._urgent = urgent
        self._waits: dict[str, set[str]] = {}
        self._users: dict[str, list[str]] = {}
        self._ranks: dict[str, Rank] = {}
        self._ready: list[tuple[Rank, str]] = []
        self._at_work: set[str] = set()
        self._away: set[str] = set()
        self._rounds = 0

    @property
    def is_over(self) -> bool:
        """Say whether every node that is wanted has been finished."""
        return not self._waits

    @property
    def is_waiting(self) -> bool:
        """Say whether a node that is away must come back before anything else can happen."""
        return not self._ready and bool(self._away)

    def want(self, wanted: Iterable[str]) -> None:
        """Ask for nodes, and for everything that they need; each in the given order."""
        self._rounds -= 1
        for root in wanted:
            for node_id in self._after_sources(root):
                self._push(node_id)

    def need(self, node_id: str, sources: Iterable[str]) -> None:
        """Let a node at work wait for more; `give_back` says that it does."""
        missing = [source for source in sources if not self._is_at_hand(source)]
        self.want(missing)
        for source in missing:
            if source not in self._waits[node_id]:
                self._waits[node_id].add(source)
                self._users.setdefault(source, []).append(node_id)

    def take(self) -> str | None:
        """Return the next node, which is at work from now on; None if none is ready."""
        if not self._ready:
            return None
        _, node_id = heapq.heappop(self._ready)
        self._at_work.add(node_id)
        return node_id

    def give_back(self, node_id: str) -> None:
        """Let a node at work wait again: it is taken once more when all that it needs is there."""
        self._at_work.discard(node_id)
        self._offer(node_id)

    def send_away(self, node_id: str) -> None:
        """Say that a node at work goes on somewhere else."""
        self._at_work.discard(node_id)
        self._away.add(node_id)

    def call_back(self, node_id: str) -> None:
        """Let a node that was away be taken once more."""
        self._away.discard(node_id)
        self._offer(node_id)

    def finish(self, node_id: str) -> None:
        """Say that a node is done; those that waited for nothing else are ready."""
        del self._waits[node_id]
        self._at_work.discard(node_id)
        for user in self._users.pop(node_id, ()):
            self._waits[user].discard(node_id)
            if user not in self._at_work and user not in self._away:
                self._offer(user)

    def cycle(self) -> tuple[str, ...]:
        """Return nodes that wait for each other, in the order of their waiting; () if none do."""
        node_id = next(iter(self._waits), None)
        path: dict[str, int] = {}
        while node_id is not None and node_id not in path:
            path[node_id] = len(path)
            node_id = next((source for source in self._waits[node_id]), None)
        return () if node_id is None else tuple(path)[path[node_id] :]

    def _is_at_hand(self, node_id: str) -> bool:
        return node_id not in self._waits and self._known(node_id)

    def _push(self, node_id: str) -> None:
        waits = {source for source in self._sources(node_id) if not self._is_at_hand(source)}
        self._waits[node_id] = waits
        for source in waits:
            self._users.setdefault(source, []).append(node_id)
        self._ranks[node_id] = (not self._urgent(node_id), self._rounds, len(self._ranks))
        self._offer(node_id)

    def _offer(self, node_id: str) -> None:
        if not self._waits[node_id]:
            heapq.heappush(self._ready, (self._ranks[node_id], node_id))

    def _after_sources(self, root: str) -> Iterator[str]:
        """Yield what is new, each after its sources; on a cycle somebody has to be first."""
        if root in self._waits or self._known(root):
            return
        seen = {root}
        stack = [(root, iter(self._sources(root)))]
        while stack:
            node_id, pending = stack[-1]
            following = next(
                (one for one in pending if one not in seen and not self._is_settled(one)), None
            )
            if following is None:
                stack.pop()
                yield node_id
            else:
                seen.add(following)
                stack.append((following, iter(self._sources(following))))

    def _is_settled(self, node_id: str) -> bool:
        return node_id in self._waits or self._known(node_id)
