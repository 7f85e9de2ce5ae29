"""One evaluation of a network, and what may be added inside it while it is evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from libs.sampling.levels import Array, Levels

Extras: TypeAlias = Mapping[str, Array]
# What is added in a network, by the kind of place and in the order of the places.
Residuals: TypeAlias = Mapping[str, Sequence[Array | None]]


@dataclass(frozen=True)
class Call:
    """One evaluation of the network: [entries * batch] latents, their texts and extras.

    `timestep` is what the network is told, one value per latent. `positive` says of each entry
    in the batch whether it stands on the positive side. `latents` are the samples before they
    were scaled to what the network was trained on.
    """

    x: Array
    timestep: Array
    context: Array
    extras: Extras
    sigma: float = 0.0
    latents: Array | None = None
    positive: tuple[bool, ...] = ()
    control: Residuals = field(default_factory=dict)


class Control(Protocol):
    """Looks at what a network is about to be asked, and returns what to add in it."""

    def __call__(self, call: Call, levels: Levels) -> Residuals:
        """Return the residuals; nothing outside the part of the course that it counts in."""


def merged(first: Residuals, second: Residuals) -> Residuals:
    """Return the sums of both, place by place; fewer places each stand for several."""
    both = dict(first)
    for kind, places in second.items():
        count = max(len(places), len(both.get(kind, ())))
        pairs = zip(_stretched(both.get(kind, ()), count), _stretched(places, count), strict=True)
        both[kind] = [_sum(one, other) for one, other in pairs]
    return both


def _stretched(places: Sequence[Array | None], count: int) -> Sequence[Array | None]:
    """Return as many places, each of the given ones for as many as it stands for."""
    each = -(-count // max(1, len(places)))
    return [places[at // each] if at // each < len(places) else None for at in range(count)]


def _sum(one: Array | None, other: Array | None) -> Array | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other
