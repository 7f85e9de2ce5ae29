"""Which waiting run a worker gets: fair between tiers and tenants, and able to be executed there.

Tiers: a run of a better tier counts as queued some time earlier (`HEAD_START_SECONDS`), and the
tier whose head has waited longest is served; so nobody is overtaken for ever.
Tenants of one tier take turns. Inside a tenant the order is the number (or the place that the
client chose, or the front); a run whose weights are warm may go before at most LOOKAHEAD runs.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeAlias

from libs.events.asks import LeaseAsk
from libs.events.base import PromptKey

HEAD_START_SECONDS: Final[Mapping[str, float]] = {
    "free": 0.0,
    "pro": 60.0,
    "enterprise": 120.0,
    "owner": 120.0,
}
LOOKAHEAD: Final = 32
TURNS_MAX: Final = 10_000


@dataclass(frozen=True)
class Waiting:
    """A run that waits, with what a worker must have to execute it."""

    prompt_id: str
    tenant: str
    tier: str
    number: int
    since: datetime
    vram_mib: int = 0
    needs: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    node_types: tuple[str, ...] = ()
    front: bool = False
    priority: float | None = None

    @property
    def key(self) -> PromptKey:
        """Return what it is known by."""
        return (self.tenant, self.prompt_id)

    @property
    def place(self) -> tuple[float, int]:
        """Return where it stands among its tenant's runs; smaller goes first."""
        if self.priority is not None:
            return (self.priority, self.number)
        return (-self.number if self.front else self.number, self.number)

    @property
    def counts_from(self) -> datetime:
        """Return when it would have been queued if its tier had no head start."""
        return self.since - timedelta(seconds=HEAD_START_SECONDS.get(self.tier, 0.0))


@dataclass(frozen=True)
class Offer:
    """What a worker has: all weights that it holds, those that need no loading, its engine.

    `beside` counts the runs that it executes already, which take `beside_vram_mib` with the
    weights `beside_weights`.
    """

    worker_id: str
    vram_total_mib: int
    weights: frozenset[str] = frozenset()
    warm: frozenset[str] = frozenset()
    engine: str = ""
    node_types: frozenset[str] = frozenset()
    beside: int = 0
    beside_vram_mib: int = 0
    beside_weights: frozenset[str] = frozenset()

    @classmethod
    def of(cls, ask: LeaseAsk) -> Offer:
        """Read an ask."""
        weights, warm = frozenset(ask.weights), frozenset(ask.warm)
        return cls(
            ask.worker_id,
            ask.vram_total_mib,
            weights,
            warm,
            ask.backend,
            frozenset(ask.node_types),
            ask.beside,
            ask.beside_vram_mib,
            frozenset(ask.beside_weights),
        )

    def fits(self, waiting: Waiting) -> bool:
        """Say whether the worker could execute the run at all."""
        return (
            waiting.vram_mib <= self.vram_total_mib
            and self.can_execute(waiting)
            and self.weights.issuperset(waiting.needs)
        )

    def has_room_for(self, waiting: Waiting) -> bool:
        """Say whether the worker could execute the run now, beside those that it executes.

        Runs with the same weights share them.
        """
        if not self.fits(waiting):
            return False
        shared = not self.beside or self.beside_weights.issuperset(waiting.needs)
        return shared or waiting.vram_mib + self.beside_vram_mib <= self.vram_total_mib

    def can_execute(self, waiting: Waiting) -> bool:
        """Say whether the worker's engine and packs know all that the run asks for."""
        named = not waiting.engines or self.engine in waiting.engines
        return named and self.node_types.issuperset(waiting.node_types)

    def is_warm_for(self, waiting: Waiting) -> bool:
        """Say whether the worker need not load anything for the run."""
        return self.warm.issuperset(waiting.needs)


def obstacle(waiting: Waiting, offers: Iterable[Offer]) -> str:
    """Say why no worker can ever execute the run, or return an empty string."""
    known = list(offers)
    if not known or any(offer.fits(waiting) for offer in known):
        return ""
    able = [offer for offer in known if offer.can_execute(waiting)]
    if not able and waiting.node_types:
        return f"no worker has node packs with {', '.join(waiting.node_types)}"
    if not able:
        return f"no worker has the engine {' or '.join(waiting.engines)}"
    for need in waiting.needs:
        if not any(need in offer.weights for offer in able):
            return f"no worker holds {need}"
    largest = max(offer.vram_total_mib for offer in able)
    if waiting.vram_mib > largest:
        return f"it needs {waiting.vram_mib} MiB, the largest worker has {largest} MiB"
    return "no worker has both the weights and the memory that it needs"


class Match(NamedTuple):
    """A run and the worker that asked and gets it."""

    waiting: Waiting
    offer: Offer


_Line: TypeAlias = list[tuple[tuple[float, int], Waiting]]


@dataclass
class WaitingRoom:
    """All runs that wait, and whose turn it is; a value of this process, rebuilt from events."""

    _lines: dict[str, dict[str, _Line]] = field(default_factory=dict)
    _known: dict[PromptKey, Waiting] = field(default_factory=dict)
    _served: dict[tuple[str, str], datetime] = field(default_factory=dict)
    _overtaken: dict[PromptKey, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: PromptKey) -> bool:
        return key in self._known

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._known.values())

    def waiting_of(self, tenant: str) -> int:
        """Return how many runs of the tenant wait."""
        return sum(len(tenants.get(tenant, ())) for tenants in self._lines.values())

    def add(self, waiting: Waiting) -> None:
        """Let a run wait; one that waits already stays where it is."""
        if waiting.key in self._known:
            return
        self._known[waiting.key] = waiting
        line = self._lines.setdefault(waiting.tier, {}).setdefault(waiting.tenant, [])
        insort(line, (waiting.place, waiting), key=lambda entry: entry[0])

    def remove(self, key: PromptKey) -> None:
        """Take a run out, whatever the reason."""
        waiting = self._known.pop(key, None)
        if waiting is None:
            return
        self._overtaken.pop(key, None)
        tenants = self._lines[waiting.tier]
        tenants[waiting.tenant].remove((waiting.place, waiting))
        if not tenants[waiting.tenant]:
            del tenants[waiting.tenant]

    def take(self, waiting: Waiting, now: datetime) -> None:
        """Take a run out because it is leased: its tenant had its turn, those before it waited."""
        for _, other in self._lines[waiting.tier][waiting.tenant]:
            if other.key == waiting.key:
                break
            self._overtaken[other.key] = self._overtaken.get(other.key, 0) + 1
        self._served[waiting.tier, waiting.tenant] = now
        self.remove(waiting.key)
        self._forget_turns(now)

    def pick(self, offer: Offer) -> Waiting | None:
        """Return the run that this worker should get now; None when none fits."""
        heads = [
            (tier, tenant, head)
            for tier, tenants in self._lines.items()
            for tenant, line in tenants.items()
            if (head := _first_fit(line, offer)) is not None
        ]
        if not heads:
            return None
        served, _, _ = min(heads, key=lambda entry: (entry[2].counts_from, entry[2].number))
        peers = [(tenant, head) for tier, tenant, head in heads if tier == served]
        tenant, head = min(peers, key=lambda entry: self._turn(served, *entry))
        return self._warmest(self._lines[served][tenant], head, offer)

    def match(self, offers: Sequence[Offer]) -> Match | None:
        """Return the next run and its worker among all that ask, in the order of asking.

        A worker for which the run is warm goes before one that would have to load, and of two
        such the one that executes less.
        """
        picks = [Match(found, offer) for offer in offers if (found := self.pick(offer)) is not None]
        return min(picks, key=_burden, default=None)

    def _turn(self, tier: str, tenant: str, head: Waiting) -> tuple[datetime, int]:
        # Who comes new queues behind those who wait, or newcomers could starve them.
        return (max(self._served.get((tier, tenant), head.since), head.since), head.number)

    def _warmest(self, line: _Line, head: Waiting, offer: Offer) -> Waiting:
        if offer.is_warm_for(head):
            return head
        for _, waiting in line[:LOOKAHEAD]:
            # A run without weights spares no loading, so it has no reason to go first.
            if waiting.needs and offer.has_room_for(waiting) and offer.is_warm_for(waiting):
                return waiting
            if self._overtaken.get(waiting.key, 0) >= LOOKAHEAD - 1:
                return head
        return head

    def _forget_turns(self, now: datetime) -> None:
        if len(self._served) <= TURNS_MAX:
            return
        recent = now - timedelta(hours=1)
        self._served = {who: when for who, when in self._served.items() if when > recent}


def _first_fit(line: _Line, offer: Offer) -> Waiting | None:
    return next((waiting for _, waiting in line if offer.has_room_for(waiting)), None)


def _burden(match: Match) -> tuple[bool, int]:
    """Return what speaks against a match; the first of equals is taken."""
    return not match.offer.is_warm_for(match.waiting), match.offer.beside
