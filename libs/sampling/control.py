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
    """Return the sums of both, place by place."""
    both = dict(first)
    for kind, places in second.items():
        mine = list(both.get(kind, ()))
        mine += [None] * (len(places) - len(mine))
        for at, place in enumerate(places):
            if place is not None:
                mine[at] = place if mine[at] is None else mine[at] + place
        both[kind] = mine
    return both
