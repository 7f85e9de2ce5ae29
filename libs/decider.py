"""The decider: a rule is three pure things (initial, decide, evolve) and one shell, `transact`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from libs.core.errors import Conflict
from libs.events.base import Event
from libs.events.envelope import Cause, Recorded

S = TypeVar("S")
C_contra = TypeVar("C_contra", contravariant=True)

TRIES_MAX = 5


class Decider(Protocol[C_contra, S]):
    """What a domain module offers; the module itself satisfies it."""

    def initial(self) -> S:
        """Return the state before anything happened."""
        ...

    def decide(self, command: C_contra, state: S) -> Sequence[Event]:
        """Return what happens; nothing for old news."""
        ...

    def evolve(self, state: S, event: Any) -> S:
        """Return the state after `event`; unknown events change nothing."""
        ...


@dataclass(frozen=True)
class Loaded:
    """The events of a subject, and the sequence of its last one that the stream still has."""

    events: tuple[Recorded[Event], ...]
    last_seq: int


class Journal(Protocol):
    """Append and load events of one subject."""

    async def load(self, subject: str, after: int = 0) -> Loaded:
        """Return the events of `subject` after sequence `after`, read from the leader."""
        ...

    async def append(
        self, tenant: str, events: Sequence[Event], expected: int, cause: Cause
    ) -> tuple[Recorded[Event], ...]:
        """Write all events or none.

        `expected` is the `last_seq` that `load` returned. If the subject has moved since,
        nothing is written and Conflict is raised. An unknown outcome is resolved inside.
        """
        ...


@dataclass
class Folds(Generic[S]):
    """A bounded memory of folded subjects, so that a writer need not load what it wrote."""

    size_max: int = 10_000
    _kept: OrderedDict[str, tuple[S, int]] = field(default_factory=OrderedDict)

    def get(self, subject: str) -> tuple[S, int] | None:
        """Return the state and last sequence that are remembered."""
        return self._kept.get(subject)

    def put(self, subject: str, state: S, last_seq: int) -> None:
        """Remember, and forget the oldest beyond the bound."""
        self._kept[subject] = (state, last_seq)
        self._kept.move_to_end(subject)
        while len(self._kept) > self.size_max:
            self._kept.popitem(last=False)

    def drop(self, subject: str) -> None:
        """Forget one subject."""
        self._kept.pop(subject, None)


def fold(decider: Decider[Any, S], state: S, events: Iterable[Event]) -> S:
    """Return `state` after all `events`."""
    for event in events:
        state = decider.evolve(state, event)
    return state


ColdStart = Callable[[str], Awaitable[tuple[S, int]]]


async def transact(
    journal: Journal,
    decider: Decider[C_contra, S],
    subject: str,
    command: C_contra,
    cause: Cause,
    *,
    folds: Folds[S] | None = None,
    cold: ColdStart[S] | None = None,
    fresh: bool = False,
) -> tuple[Recorded[Event], ...]:
    """Load, fold, decide and append; on a lost race load again, at most TRIES_MAX times.

    `folds` spares the load of what this process wrote last. `cold` gives a state from a
    snapshot and the sequence that it covers; without it a subject is read from its beginning.
    `fresh` spares the load of a subject that is most likely empty: the append says if it is not.
    """
    tenant = subject.split(".")[2]
    for attempt in range(1, TRIES_MAX + 1):
        known = folds.get(subject) if folds else None
        if known is None and fresh and attempt == 1:
            known = (decider.initial(), 0)
            if not decider.decide(command, known[0]):
                known = None
        state, last_seq = known or await _read(journal, decider, subject, cold)
        events = tuple(decider.decide(command, state))
        if not events and known is not None:
            # No append will say that what is remembered is old, so the stream is asked.
            state, last_seq = await _newer(journal, decider, subject, known)
            events = tuple(decider.decide(command, state))
        if not events:
            if folds:
                folds.put(subject, state, last_seq)
            return ()
        try:
            recorded = await journal.append(tenant, events, last_seq, cause)
        except Conflict:
            if folds:
                folds.drop(subject)
            if attempt == TRIES_MAX:
                raise
            continue
        if folds:
            folds.put(subject, fold(decider, state, events), recorded[-1].seq)
        return recorded
    raise Conflict("the subject moved at every try", subject=subject, tries=TRIES_MAX)


async def _newer(
    journal: Journal, decider: Decider[Any, S], subject: str, known: tuple[S, int]
) -> tuple[S, int]:
    loaded = await journal.load(subject, known[1])
    return fold(decider, known[0], (each.event for each in loaded.events)), loaded.last_seq


async def _read(
    journal: Journal, decider: Decider[Any, S], subject: str, cold: ColdStart[S] | None
) -> tuple[S, int]:
    state, covered = await cold(subject) if cold else (decider.initial(), 0)
    loaded = await journal.load(subject, covered)
    return fold(decider, state, (recorded.event for recorded in loaded.events)), loaded.last_seq
